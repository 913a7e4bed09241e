package qupath.lib.gui.viewer.overlays;

import java.awt.image.BufferedImage;
import qupath.lib.gui.viewer.OverlayOptions;
import qupath.lib.images.ImageData;

/** Signatures of qupath-gui-fx/src/main/java/qupath/lib/gui/viewer/overlays/AbstractOverlay.java of QuPath 0.6.0 and 0.7.0. */
public abstract class AbstractOverlay implements PathOverlay {
    private double opacity = 1.0;
    private LocationStringFunction location;

    protected AbstractOverlay(OverlayOptions options) {}

    public boolean isVisible() {
        return opacity > 0;
    }

    public double getOpacity() {
        return opacity;
    }

    public void setOpacity(double opacity) {
        this.opacity = opacity;
    }

    public void setLocationStringFunction(LocationStringFunction fun) {
        location = fun;
    }

    public String getLocationString(ImageData<BufferedImage> imageData, double x, double y, int z, int t) {
        return location == null ? null : location.getLocationString(imageData, x, y, z, t);
    }

    @FunctionalInterface
    public interface LocationStringFunction {
        String getLocationString(ImageData<BufferedImage> imageData, double x, double y, int z, int t);
    }
}
