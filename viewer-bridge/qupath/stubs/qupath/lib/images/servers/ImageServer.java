package qupath.lib.images.servers;

import java.io.IOException;
import qupath.lib.regions.RegionRequest;

/** Signatures of qupath-core/src/main/java/qupath/lib/images/servers/ImageServer.java of QuPath 0.6.0 and 0.7.0. */
public interface ImageServer<T> {
    String getPath();

    double[] getPreferredDownsamples();

    int getWidth();

    int getHeight();

    boolean isRGB();

    ImageServerMetadata getMetadata();

    default PixelCalibration getPixelCalibration() {
        return getMetadata().getPixelCalibration();
    }

    default T readRegion(RegionRequest request) throws IOException {
        throw new IOException("not read");
    }
}
