package qupath.lib.roi;

import java.awt.Shape;
import java.awt.geom.Rectangle2D;
import qupath.lib.regions.ImagePlane;
import qupath.lib.roi.interfaces.ROI;

/** Signatures of qupath-core/src/main/java/qupath/lib/roi/ROIs.java of QuPath 0.6.0 and 0.7.0. */
public class ROIs {
    public static ROI createRectangleROI(double x, double y, double width, double height, ImagePlane plane) {
        return createAreaROI(new Rectangle2D.Double(x, y, width, height), plane);
    }

    public static ROI createAreaROI(Shape shape, ImagePlane plane) {
        return new ROI() {
            @Override
            public double getBoundsX() {
                return shape.getBounds2D().getX();
            }

            @Override
            public double getBoundsY() {
                return shape.getBounds2D().getY();
            }

            @Override
            public Shape getShape() {
                return shape;
            }

            @Override
            public boolean isArea() {
                return true;
            }
        };
    }
}
