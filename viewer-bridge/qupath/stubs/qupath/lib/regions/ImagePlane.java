package qupath.lib.regions;

/** Signatures of qupath-core/src/main/java/qupath/lib/regions/ImagePlane.java of QuPath 0.6.0 and 0.7.0. */
public class ImagePlane {
    private static final ImagePlane DEFAULT = new ImagePlane();

    public static ImagePlane getDefaultPlane() {
        return DEFAULT;
    }
}
