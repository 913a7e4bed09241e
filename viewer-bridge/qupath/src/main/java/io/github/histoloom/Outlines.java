package io.github.histoloom;

import java.awt.Shape;
import java.awt.geom.PathIterator;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;

/** Annotations as the parameters "roi" and "annotations" take them. */
public final class Outlines {
    private static final double FLATNESS_PX = 0.5;

    /** The name of the annotation under which a map's lie. */
    public static final String OF_A_MAP = "Histoloom map";

    /** An annotation with its class and the name of the one it lies under; rgb and under may be null. */
    public record Annotated(String name, Integer rgb, Shape shape, String under) {
        /** One of an earlier map was found by clustering. */
        boolean byHand() {
            return !OF_A_MAP.equals(under);
        }
    }

    private Outlines() {}

    /** GeoJSON with a feature an annotation, in their order; those without an area are left out. */
    public static String geojson(Collection<Annotated> annotations) {
        final List<Object> features = new ArrayList<>();
        for (Annotated a : annotations) {
            final List<Object> ring = ring(a.shape());
            if (ring.size() >= 3) {
                final Object is = a.rgb() == null ? a.name()
                    : Map.of("name", a.name(), "color", List.of(a.rgb() >> 16 & 255, a.rgb() >> 8 & 255, a.rgb() & 255));
                final Map<String, Object> of = a.byHand() ? Map.of("objectType", "annotation", "classification", is)
                    : Map.of("objectType", "annotation", "classification", is, "metadata", Map.of("kind", "pseudo-semantic class found by clustering"));
                features.add(Map.of("type", "Feature", "geometry", Map.of("type", "Polygon", "coordinates", List.of(ring)), "properties", of));
            }
        }
        return Json.write(Map.of("type", "FeatureCollection", "features", features));
    }

    /** A polygon a shape. */
    public static List<Object> roi(Collection<? extends Shape> shapes) {
        final List<Object> out = new ArrayList<>();
        for (Shape s : shapes) {
            final List<Object> ring = ring(s);
            if (ring.size() >= 3) {
                out.add(ring);
            }
        }
        return out;
    }

    /**
     * A shape with holes and islands as one ring: each of its rings is gone round in turn, from and back to the first point. The ways there and
     * back cancel out under the even-odd rule, by which the library fills.
     */
    private static List<Object> ring(Shape shape) {
        final List<Object> out = new ArrayList<>();
        final double[] p = new double[6];
        List<Object> start = null;
        for (PathIterator i = shape.getPathIterator(null, FLATNESS_PX); !i.isDone(); i.next()) {
            final int segment = i.currentSegment(p);
            if (segment != PathIterator.SEG_LINETO) {
                close(out, start);
                start = segment == PathIterator.SEG_MOVETO ? List.of(p[0], p[1]) : null;
            }
            if (segment != PathIterator.SEG_CLOSE) {
                out.add(List.of(p[0], p[1]));
            }
        }
        close(out, start);
        return out;
    }

    private static void close(List<Object> out, List<Object> start) {
        if (start != null) {
            out.add(start);
            if (start != out.get(0)) {
                out.add(out.get(0));
            }
        }
    }
}
