package io.github.histoloom.qupath;

import io.github.histoloom.Pictures;
import io.github.histoloom.RegionReader;
import io.github.histoloom.Trouble;
import java.awt.image.BufferedImage;
import java.io.IOException;
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
        return pixels.hasPixelSizeMicrons() ? pixels.getAveragedPixelSizeMicrons() : 0;
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
