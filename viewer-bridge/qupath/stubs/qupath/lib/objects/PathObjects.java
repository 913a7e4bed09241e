package qupath.lib.objects;

import qupath.lib.objects.classes.PathClass;
import qupath.lib.roi.interfaces.ROI;

/** Signatures of qupath-core/src/main/java/qupath/lib/objects/PathObjects.java of QuPath 0.6.0 and 0.7.0. */
public class PathObjects {
    public static PathObject createAnnotationObject(final ROI roi) {
        return createAnnotationObject(roi, null);
    }

    public static PathObject createAnnotationObject(final ROI roi, final PathClass pathClass) {
        return made(roi, pathClass, true);
    }

    public static PathObject createDetectionObject(final ROI roi, final PathClass pathClass) {
        return made(roi, pathClass, false);
    }

    private static PathObject made(ROI roi, PathClass pathClass, boolean annotation) {
        return new PathObject() {
            @Override
            public boolean isAnnotation() {
                return annotation;
            }

            @Override
            public boolean isDetection() {
                return !annotation;
            }

            @Override
            public PathClass getPathClass() {
                return pathClass;
            }

            @Override
            public ROI getROI() {
                return roi;
            }
        };
    }
}
