package io.github.histoloom.qupath;

import io.github.histoloom.Json;
import io.github.histoloom.Pictures;
import io.github.histoloom.RegionReader;
import io.github.histoloom.Trouble;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.util.List;
import java.util.Map;
import qupath.lib.images.ImageData;
import qupath.lib.images.servers.ImageServer;
import qupath.lib.images.servers.PixelCalibration;
import qupath.lib.regions.RegionRequest;

/** The open image as the library reads it: always through the viewer, whose coordinates may differ from the file's. */
final class ServerReader implements RegionReader {
    private final ImageServer<BufferedImage> server;

    private ServerReader(ImageServer<BufferedImage> server) {
        this.server = server;
    }

    static ServerReader of(ImageData<BufferedImage> image) throws Trouble {
        if (image == null) {
            throw Trouble.noSlide();
        }
        final ServerReader reader = new ServerReader(image.getServer());
        if (!reader.server.isRGB()) {
            throw Trouble.notRgb(reader.name());
        }
        return reader;
    }

    @Override
    public BufferedImage read(long x, long y, double downsample, int width, int height) throws IOException {
        final int w = (int) Math.min(Math.round(width * downsample), width() - x), h = (int) Math.min(Math.round(height * downsample), height() - y);
        final BufferedImage image = server.readRegion(RegionRequest.createInstance(server.getPath(), downsample, (int) x, (int) y, w, h, 0, 0));
        if (image == null) {
            throw new IOException("the viewer gave no pixels at " + x + ", " + y);
        }
        return Pictures.fit(image, width, height);
    }

    @Override
    public long width() {
        return server.getWidth();
    }

    @Override
    public long height() {
        return server.getHeight();
    }

    @Override
    public double[] downsamples() {
        return server.getPreferredDownsamples();
    }

    @Override
    public double mpp() {
        final PixelCalibration pixels = server.getPixelCalibration();
        return pixels.hasPixelSizeMicrons() ? pixels.getPixelWidthMicrons() : 0;
    }

    @Override
    public double mppY() {
        final PixelCalibration pixels = server.getPixelCalibration();
        return pixels.hasPixelSizeMicrons() ? pixels.getPixelHeightMicrons() : 0;
    }

    /** QuPath crops what OpenSlide reads to the bounds of the scan, and tells so only in the properties that the reader's class dumps. */
    @Override
    public long[] origin() {
        try {
            final Map<String, Object> properties = Json.object((String) server.getClass().getMethod("dumpMetadata").invoke(server));
            final long[] bounds = new long[4];
            for (int i = 0; i < 4; i++) {
                bounds[i] = Long.parseLong((String) properties.get("openslide.bounds-" + List.of("x", "y", "width", "height").get(i)));
            }
            return bounds[2] == width() && bounds[3] == height() ? new long[] {bounds[0], bounds[1]} : new long[] {0, 0};
        } catch (ReflectiveOperationException | RuntimeException e) { // another reader, or a slide without bounds: nothing is cropped
            return new long[] {0, 0};
        }
    }

    @Override
    public String name() {
        return server.getMetadata().getName();
    }

    @Override
    public String id() {
        return server.getPath();
    }
}
