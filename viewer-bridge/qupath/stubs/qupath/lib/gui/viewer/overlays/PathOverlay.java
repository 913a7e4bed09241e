package qupath.lib.gui.viewer.overlays;

import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import qupath.lib.images.ImageData;
import qupath.lib.regions.ImageRegion;

/** Signatures of qupath-gui-fx/src/main/java/qupath/lib/gui/viewer/overlays/PathOverlay.java of QuPath 0.6.0 and 0.7.0. */
public interface PathOverlay {
    void paintOverlay(Graphics2D g2d, ImageRegion imageRegion, double downsampleFactor, ImageData<BufferedImage> imageData, boolean paintCompletely);
}
