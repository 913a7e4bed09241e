package qupath.lib.images.servers;

/** Signatures of qupath-core/src/main/java/qupath/lib/images/servers/PixelCalibration.java of QuPath 0.6.0 and 0.7.0. */
public class PixelCalibration {
    private final double microns;

    /** Not upstream's: for tests; 0 = unknown. */
    public PixelCalibration(double microns) {
        this.microns = microns;
    }

    public boolean hasPixelSizeMicrons() {
        return microns > 0;
    }

    public double getAveragedPixelSizeMicrons() {
        return microns > 0 ? microns : Double.NaN;
    }
}
