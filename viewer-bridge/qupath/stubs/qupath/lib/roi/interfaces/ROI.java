package qupath.lib.roi.interfaces;

import java.awt.Shape;

/** Signatures of qupath-core/src/main/java/qupath/lib/roi/interfaces/ROI.java of QuPath 0.6.0 and 0.7.0. */
public interface ROI {
    double getBoundsX();

    double getBoundsY();

    Shape getShape();

    boolean isArea();
}
