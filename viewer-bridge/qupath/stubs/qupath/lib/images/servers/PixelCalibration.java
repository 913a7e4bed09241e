package qupath.lib.images.servers;

/** Signatures of qupath-core/src/main/java/qupath/lib/images/servers/PixelCalibration.java of QuPath 0.6.0 and 0.7.0. */
public class PixelCalibration {
    private final double width, height;

    /** Not upstream's: for tests; 0 = unknown. */
    public PixelCalibration(double width, double height) {
        this.width = width;
        this.height = height;
    }

    public boolean hasPixelSizeMicrons() {
        return width > 0 && height > 0;
    }

    public double getPixelWidthMicrons() {
        return hasPixelSizeMicrons() ? width : Double.NaN;
    }

    public double getPixelHeightMicrons() {
        return hasPixelSizeMicrons() ? height : Double.NaN;
    }
}
