package io.github.histoloom;

import java.awt.image.BufferedImage;
import java.util.Arrays;

/** A slide without tissue. */
final class Glass implements RegionReader {
    @Override
    public BufferedImage read(long x, long y, double downsample, int width, int height) {
        final BufferedImage out = new BufferedImage(width, height, BufferedImage.TYPE_INT_ARGB);
        out.setRGB(0, 0, width, height, filled(width * height, 0xFFF4F4F4), 0, width);
        return out;
    }

    static int[] filled(int n, int value) {
        final int[] out = new int[n];
        Arrays.fill(out, value);
        return out;
    }

    @Override
    public long width() {
        return 2000;
    }

    @Override
    public long height() {
        return 2000;
    }

    @Override
    public double[] downsamples() {
        return new double[] {1};
    }

    @Override
    public double mpp() {
        return 0.5;
    }

    @Override
    public String name() {
        return "empty glass";
    }

    @Override
    public String id() {
        return "glass";
    }
}
