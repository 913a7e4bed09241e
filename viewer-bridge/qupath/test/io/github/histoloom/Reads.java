package io.github.histoloom;

import com.sun.jna.CallbackReference;
import com.sun.jna.Function;
import com.sun.jna.Memory;
import java.awt.image.BufferedImage;

/** Regions a second through the callback that the library is given, called from native code one at a time; the pixels are there already. */
final class Reads {
    private static final int ROUNDS = 4000;

    private Reads() {}

    static long perSecond(String library, String models, BufferedImage tile) {
        final int w = tile.getWidth(), h = tile.getHeight();
        try (Histoloom histoloom = new Histoloom(library, models, "cpu", 1, null);
                Histoloom.Slide slide = histoloom.open((x, y, d, width, height) -> Pictures.fit(tile, width, height), 100_000, 100_000, new double[] {1}, 0.5, "s", "s")) {
            final Histoloom.Region region = new Histoloom.Region();
            region.width_px = w;
            region.height_px = h;
            region.stride_bytes = 4 * w;
            region.downsample = 1;
            region.token = slide.token;
            region.write();
            final Memory dst = new Memory(4L * w * h);
            final Function callback = Function.getFunction(CallbackReference.getFunctionPointer(histoloom.host.read_region));
            final Object[] arguments = {null, region.getPointer(), dst, 4L * w * h};
            long began = 0;
            for (int i = -ROUNDS / 4; i < ROUNDS; i++) {
                if (i == 0) {
                    began = System.nanoTime();
                }
                LogicTest.must(callback.invokeLong(arguments) == 4L * w * h, "a read");
            }
            LogicTest.must(dst.getInt(4L * (w * h - 1)) == tile.getRGB(w - 1, h - 1), "the last pixel");
            return Math.round(ROUNDS / ((System.nanoTime() - began) / 1e9));
        }
    }
}
