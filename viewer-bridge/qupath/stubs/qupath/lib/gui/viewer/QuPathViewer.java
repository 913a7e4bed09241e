package qupath.lib.gui.viewer;

import java.awt.image.BufferedImage;
import javafx.collections.FXCollections;
import javafx.collections.ObservableList;
import qupath.lib.gui.viewer.overlays.PathOverlay;
import qupath.lib.images.ImageData;

/** Signatures of qupath-gui-fx/src/main/java/qupath/lib/gui/viewer/QuPathViewer.java of QuPath 0.6.0 and 0.7.0. */
public class QuPathViewer {
    private final ObservableList<PathOverlay> overlays = FXCollections.observableArrayList();
    private final OverlayOptions options = new OverlayOptions();
    private final ImageData<BufferedImage> image;

    /** Not upstream's: for tests. */
    public QuPathViewer(ImageData<BufferedImage> image) {
        this.image = image;
    }

    public ImageData<BufferedImage> getImageData() {
        return image;
    }

    public OverlayOptions getOverlayOptions() {
        return options;
    }

    public ObservableList<PathOverlay> getCustomOverlayLayers() {
        return overlays;
    }

    public double getCenterPixelX() {
        return image.getServer().getWidth() / 2.0;
    }

    public double getCenterPixelY() {
        return image.getServer().getHeight() / 2.0;
    }

    public void repaint() {}
}
