package qupath.lib.regions;

/** Signatures of qupath-core/src/main/java/qupath/lib/regions/RegionRequest.java of QuPath 0.6.0 and 0.7.0. */
public class RegionRequest extends ImageRegion {
    private final double downsample;

    private RegionRequest(double downsample, int x, int y, int width, int height) {
        super(x, y, width, height);
        this.downsample = downsample;
    }

    public static RegionRequest createInstance(String path, double downsample, int x, int y, int width, int height, int z, int t) {
        return new RegionRequest(downsample, x, y, width, height);
    }

    public double getDownsample() {
        return downsample;
    }
}
