package io.github.histoloom;

import java.awt.geom.Path2D;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The area of one class, from the library's GeoJSON: a shape in level-0 pixels with holes, filled by the even-odd rule. */
public record MapRegion(String name, int rgb, Path2D shape, Map<String, Double> measurements) {
    static List<MapRegion> parse(String geojson) {
        final List<MapRegion> out = new ArrayList<>();
        for (Object feature : Json.list(Json.object(geojson).get("features"))) {
            final Map<String, Object> f = Json.object(feature), properties = Json.object(f.get("properties"));
            final Map<String, Object> of = Json.object(properties.get("classification"));
            final Map<String, Double> measurements = new LinkedHashMap<>();
            if (properties.get("measurements") != null) {
                Json.object(properties.get("measurements")).forEach((k, v) -> measurements.put(k, Json.number(v)));
            }
            out.add(new MapRegion((String) of.get("name"), rgb(of.get("color")), shape(Json.object(f.get("geometry"))), measurements));
        }
        return out;
    }

    static int rgb(Object color) {
        final List<Object> c = Json.list(color);
        return Json.integer(c.get(0)) << 16 | Json.integer(c.get(1)) << 8 | Json.integer(c.get(2));
    }

    private static Path2D shape(Map<String, Object> geometry) {
        final Path2D out = new Path2D.Double(Path2D.WIND_EVEN_ODD);
        final List<Object> coordinates = Json.list(geometry.get("coordinates"));
        for (Object polygon : "MultiPolygon".equals(geometry.get("type")) ? coordinates : List.of(coordinates)) {
            for (Object ring : Json.list(polygon)) {
                boolean first = true;
                for (Object point : Json.list(ring)) {
                    final double x = Json.number(Json.list(point).get(0)), y = Json.number(Json.list(point).get(1));
                    if (first) {
                        out.moveTo(x, y);
                    } else {
                        out.lineTo(x, y);
                    }
                    first = false;
                }
                out.closePath();
            }
        }
        return out;
    }
}
