import com.sun.jna.Library;
import com.sun.jna.Native;
import com.sun.jna.Pointer;
import com.sun.jna.ptr.LongByReference;
import io.github.histoloom.Histoloom;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import java.io.File;
import java.io.IOException;
import java.util.concurrent.atomic.AtomicInteger;
import javax.imageio.ImageIO;

/**
 * A host on the JVM: lends a slide as int arrays, makes a map and a tile, draws the overlay, and checks what it gets.
 *
 * <p>java -cp /usr/share/java/jna.jar:. SmallHost LIBRARY MODELS_DIR SLIDE OUT_DIR
 */
public final class SmallHost {
    /** As much of OpenSlide as is needed to read a slide. */
    interface OpenSlide extends Library {
        Pointer openslide_open(String path);
        void openslide_get_level0_dimensions(Pointer slide, LongByReference w, LongByReference h);
        void openslide_read_region(Pointer slide, int[] dest, long x, long y, int level, long w, long h);
        String openslide_get_error(Pointer slide);
        void openslide_close(Pointer slide);
    }

    private static void must(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    public static void main(String[] args) throws IOException {
        final OpenSlide openslide = Native.load("libopenslide.so.0", OpenSlide.class);
        final Pointer slide = openslide.openslide_open(args[2]);
        must(slide != null && openslide.openslide_get_error(slide) == null, "no slide: " + args[2]);
        final LongByReference w = new LongByReference(), h = new LongByReference();
        openslide.openslide_get_level0_dimensions(slide, w, h);
        final AtomicInteger reads = new AtomicInteger();
        final Histoloom.Reader reader = (x, y, downsample, width, height) -> {
            reads.incrementAndGet();
            final int sw = (int) Math.round(width * downsample), sh = (int) Math.round(height * downsample);
            final int[] argb = new int[sw * sh];
            openslide.openslide_read_region(slide, argb, x, y, 0, sw, sh);
            if (openslide.openslide_get_error(slide) != null) {
                throw new IOException(openslide.openslide_get_error(slide));
            }
            final BufferedImage whole = new BufferedImage(sw, sh, BufferedImage.TYPE_INT_ARGB);
            whole.setRGB(0, 0, sw, sh, argb, 0, sw);
            final BufferedImage out = new BufferedImage(width, height, BufferedImage.TYPE_INT_ARGB);
            final Graphics2D g = out.createGraphics();
            g.setRenderingHint(RenderingHints.KEY_INTERPOLATION, RenderingHints.VALUE_INTERPOLATION_BILINEAR);
            g.drawImage(whole, 0, 0, width, height, null);
            g.dispose();
            return out;
        };
        try (Histoloom histoloom = new Histoloom(args[0], args[1], "cpu", 2, (level, text) -> System.err.println("  log: " + text));
                Histoloom.Slide opened = histoloom.open(reader, w.getValue(), h.getValue(), new double[] {1.0}, 0.499, "sample", "java")) {
            must(histoloom.schema("synth").contains("guidance"), "a schema");
            final String params = "{\"k\": 4, \"seed\": 3, \"roi\": [[[600, 900], [1500, 900], [1500, 1800], [600, 1800]]]}";
            try (Histoloom.Job job = histoloom.start("cluster", params, opened, null); Histoloom.Result map = job.result()) {
                must(job.poll().state == 2 && reads.get() > 0, "done after reading");
                System.out.println(map.json());
                final BufferedImage overlay = map.overlay(400, 700, 2.0, 600, 600);
                int opaque = 0;
                for (int argb : overlay.getRGB(0, 0, 600, 600, null, 0, 600)) {
                    opaque += argb >>> 24 == 255 ? 1 : 0;
                }
                must(opaque > 10000 && opaque < 300000, opaque + " opaque pixels");
                must(overlay.getRGB(10, 10) >>> 24 == 0, "nothing outside the region of interest");
                final String text = "{\"n\": 1, \"size_px\": 128, \"steps\": 3, \"seed\": 5}";
                try (Histoloom.Job synth = histoloom.start("synth", text, null, map); Histoloom.Result tiles = synth.result()) {
                    final BufferedImage tile = tiles.tile(0);
                    must(tile.getWidth() == 128 && tiles.tileJson(0).contains("\"synthetic\":true"), "a synthetic tile");
                    ImageIO.write(tile, "png", new File(args[3], "synthetic_tile.png"));
                }
                ImageIO.write(overlay, "png", new File(args[3], "overlay.png"));
            }
            final Histoloom.Reader broken = (x, y, downsample, width, height) -> {
                throw new IOException("the disk is gone");
            };
            try (Histoloom.Slide bad = histoloom.open(broken, 4000, 4000, new double[] {1.0}, 0.5, "bad", "bad");
                    Histoloom.Job job = histoloom.start("cluster", "{}", bad, null)) {
                job.result();
                throw new AssertionError("a broken reader made a map");
            } catch (Histoloom.Failure e) {
                must(e.code == -14 && e.getCause() instanceof IOException, "the reader's own exception comes back: " + e);
            }
            try {
                histoloom.start("cluster", "{\"sedd\": 1}", opened, null);
                throw new AssertionError("a misspelt parameter was taken");
            } catch (Histoloom.Failure e) {
                must(e.getMessage().contains("sedd"), e.getMessage());
            }
        }
        openslide.openslide_close(slide);
    }
}
