package io.github.histoloom;

import com.sun.jna.Library;
import com.sun.jna.Native;
import com.sun.jna.Pointer;
import com.sun.jna.ptr.LongByReference;
import java.awt.image.BufferedImage;
import java.awt.image.DataBufferInt;
import java.io.IOException;
import java.util.concurrent.atomic.AtomicInteger;

/** A slide read by OpenSlide, as a viewer would lend it. */
final class SlideFile implements RegionReader, AutoCloseable {
    /** As much of OpenSlide as is needed to read a slide. */
    interface OpenSlide extends Library {
        Pointer openslide_open(String path);
        void openslide_get_level0_dimensions(Pointer slide, LongByReference w, LongByReference h);
        String openslide_get_property_value(Pointer slide, String name);
        void openslide_read_region(Pointer slide, int[] dest, long x, long y, int level, long w, long h);
        String openslide_get_error(Pointer slide);
        void openslide_close(Pointer slide);
    }

    private final OpenSlide openslide = Native.load("libopenslide.so.0", OpenSlide.class);
    private final Pointer slide;
    private final LongByReference w = new LongByReference(), h = new LongByReference();
    final AtomicInteger reads = new AtomicInteger();

    SlideFile(String path) {
        slide = openslide.openslide_open(path);
        if (slide == null || openslide.openslide_get_error(slide) != null) {
            throw new AssertionError("no slide: " + path);
        }
        openslide.openslide_get_level0_dimensions(slide, w, h);
    }

    @Override
    public BufferedImage read(long x, long y, double downsample, int width, int height) throws IOException {
        reads.incrementAndGet();
        final int sw = (int) Math.round(width * downsample), sh = (int) Math.round(height * downsample);
        final BufferedImage whole = new BufferedImage(sw, sh, BufferedImage.TYPE_INT_ARGB);
        openslide.openslide_read_region(slide, ((DataBufferInt) whole.getRaster().getDataBuffer()).getData(), x, y, 0, sw, sh);
        if (openslide.openslide_get_error(slide) != null) {
            throw new IOException(openslide.openslide_get_error(slide));
        }
        return Pictures.fit(whole, width, height);
    }

    @Override
    public long width() {
        return w.getValue();
    }

    @Override
    public long height() {
        return h.getValue();
    }

    @Override
    public double[] downsamples() {
        return new double[] {1};
    }

    @Override
    public double mpp() {
        return Double.parseDouble(openslide.openslide_get_property_value(slide, "openslide.mpp-x"));
    }

    @Override
    public String name() {
        return "CMU-1";
    }

    @Override
    public String id() {
        return "sample";
    }

    @Override
    public void close() {
        openslide.openslide_close(slide);
    }
}
