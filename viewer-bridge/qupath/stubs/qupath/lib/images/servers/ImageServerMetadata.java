package qupath.lib.images.servers;

/** Signatures of qupath-core/src/main/java/qupath/lib/images/servers/ImageServerMetadata.java of QuPath 0.6.0 and 0.7.0. */
public class ImageServerMetadata {
    private final String name;
    private final PixelCalibration pixels;

    /** Not upstream's: for tests. */
    public ImageServerMetadata(String name, PixelCalibration pixels) {
        this.name = name;
        this.pixels = pixels;
    }

    public String getName() {
        return name;
    }

    public PixelCalibration getPixelCalibration() {
        return pixels;
    }
}
