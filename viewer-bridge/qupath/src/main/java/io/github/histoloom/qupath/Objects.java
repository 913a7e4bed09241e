package io.github.histoloom.qupath;

import io.github.histoloom.MapRegion;
import io.github.histoloom.Outlines;
import io.github.histoloom.TissueMap;
import io.github.histoloom.Trouble;
import java.awt.Shape;
import java.awt.image.BufferedImage;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import qupath.lib.images.ImageData;
import qupath.lib.objects.PathObject;
import qupath.lib.objects.PathObjects;
import qupath.lib.objects.classes.PathClass;
import qupath.lib.regions.ImagePlane;
import qupath.lib.roi.ROIs;

/** Maps to annotations, and annotations to regions of interest. */
final class Objects {
    private Objects() {}

    /** One parent with a child a class, so that one deletion takes all back. Outlining a large map takes seconds. */
    static PathObject add(ImageData<BufferedImage> image, TissueMap map, boolean detections) {
        final ImagePlane plane = ImagePlane.getDefaultPlane();
        final PathObject parent = PathObjects.createAnnotationObject(ROIs.createRectangleROI(0, 0, map.width, map.height, plane));
        parent.setName(Outlines.OF_A_MAP);
        for (MapRegion region : map.regions()) {
            final PathClass is = PathClass.fromString(region.name(), region.rgb());
            final var roi = ROIs.createAreaROI(region.shape(), plane);
            final PathObject child = detections ? PathObjects.createDetectionObject(roi, is) : PathObjects.createAnnotationObject(roi, is);
            child.setName(region.name());
            region.measurements().forEach(child.getMeasurementList()::put);
            parent.addChildObject(child);
        }
        parent.setLocked(true);
        image.getHierarchy().addObject(parent);
        return parent;
    }

    private static boolean isArea(PathObject o) {
        return o.isAnnotation() && o.getROI() != null && o.getROI().isArea();
    }

    static List<Shape> shapes(Collection<? extends PathObject> objects) {
        final List<Shape> out = new ArrayList<>();
        for (PathObject o : objects) {
            if (isArea(o)) {
                out.add(o.getROI().getShape());
            }
        }
        return out;
    }

    /** Annotations with a class; the trouble says that there is none. */
    static List<Outlines.Annotated> classed(Collection<? extends PathObject> objects, String slide) throws Trouble {
        final List<Outlines.Annotated> out = new ArrayList<>();
        for (PathObject o : objects) {
            final PathClass is = o.getPathClass();
            if (is != null && isArea(o)) {
                final String under = o.getParent() == null ? null : o.getParent().getName();
                out.add(new Outlines.Annotated(is.toString(), is.getColor(), o.getROI().getShape(), under));
            }
        }
        if (out.isEmpty()) {
            throw Trouble.noClass(slide);
        }
        return out;
    }

    /** The parameter "roi" of the annotations given. */
    static List<Object> roi(Collection<? extends PathObject> objects, String slide) throws Trouble {
        final List<Object> roi = Outlines.roi(shapes(objects));
        if (roi.isEmpty()) {
            throw Trouble.noAnnotation(slide);
        }
        return roi;
    }
}
