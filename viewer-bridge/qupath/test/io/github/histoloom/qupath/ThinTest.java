package io.github.histoloom.qupath;

import groovy.lang.Binding;
import groovy.lang.GroovyShell;
import io.github.histoloom.Json;
import io.github.histoloom.RegionReader;
import io.github.histoloom.TissueMap;
import io.github.histoloom.Trouble;
import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.Rectangle;
import java.awt.image.BufferedImage;
import java.io.File;
import java.io.IOException;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import qupath.lib.gui.viewer.QuPathViewer;
import qupath.lib.images.ImageData;
import qupath.lib.images.servers.ImageServer;
import qupath.lib.images.servers.ImageServerMetadata;
import qupath.lib.images.servers.PixelCalibration;
import qupath.lib.objects.PathObject;
import qupath.lib.objects.PathObjects;
import qupath.lib.objects.classes.PathClass;
import qupath.lib.regions.ImagePlane;
import qupath.lib.regions.ImageRegion;
import qupath.lib.regions.RegionRequest;
import qupath.lib.roi.ROIs;
import qupath.lib.scripting.QP;

/** The classes that touch QuPath, on stubs of it: reading through an ImageServer, scripts as Groovy runs them, objects, the overlay. */
public final class ThinTest {
    private ThinTest() {}

    static void must(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    /** As QuPath's servers do, it gives RGB pictures of a size that may be rounded otherwise. */
    static ImageServer<BufferedImage> server(RegionReader slide, boolean rgb) {
        return new ImageServer<BufferedImage>() { // named, for it has more than the interface
            @Override
            public BufferedImage readRegion(RegionRequest r) throws IOException {
                final int w = (int) Math.max(1, r.getWidth() / r.getDownsample()), h = (int) Math.max(1, r.getHeight() / r.getDownsample());
                try {
                    final BufferedImage out = new BufferedImage(w, h, BufferedImage.TYPE_INT_RGB);
                    final Graphics2D g = out.createGraphics();
                    g.setColor(Color.WHITE);
                    g.fillRect(0, 0, w, h);
                    g.drawImage(slide.read(r.getX(), r.getY(), r.getDownsample(), w, h), 0, 0, null);
                    g.dispose();
                    return out;
                } catch (IOException e) {
                    throw e;
                } catch (Exception e) {
                    throw new IOException(e);
                }
            }

            /** As QuPath's server for OpenSlide has it beside the interface. */
            public String dumpMetadata() {
                return String.format(Locale.ROOT, "{\"openslide.bounds-x\": \"70\", \"openslide.bounds-y\": \"80\", "
                    + "\"openslide.bounds-width\": \"%d\", \"openslide.bounds-height\": \"%d\"}", getWidth(), rgb ? getHeight() : 1);
            }

            @Override
            public String getPath() {
                return "openslide: CMU-1";
            }

            @Override
            public double[] getPreferredDownsamples() {
                return slide.downsamples();
            }

            @Override
            public int getWidth() {
                return (int) slide.width();
            }

            @Override
            public int getHeight() {
                return (int) slide.height();
            }

            @Override
            public boolean isRGB() {
                return rgb;
            }

            @Override
            public ImageServerMetadata getMetadata() {
                return new ImageServerMetadata(slide.name(), new PixelCalibration(slide.mpp(), slide.mpp()));
            }
        };
    }

    private static void fails(Trouble.Kind kind, String script) {
        try {
            new GroovyShell().evaluate(script);
        } catch (Exception e) { // Groovy does not declare what it throws
            must(e instanceof Trouble && ((Trouble) e).kind == kind, "instead of " + kind + ": " + e);
            return;
        }
        throw new AssertionError(script + " did not say " + kind);
    }

    /** The library and models come from HISTOLOOM_LIBRARY_DIR and HISTOLOOM_MODELS, or out of the jar. */
    public static void run(RegionReader slide, File script, File out) throws Exception {
        final String begin = "io.github.histoloom.qupath.HistoloomScripts.";
        fails(Trouble.Kind.NO_SLIDE, begin + "run('cluster', [k: 3])");
        QP.setDefaultImageData(new ImageData<>(server(slide, false)));
        fails(Trouble.Kind.NOT_RGB, begin + "run('cluster', [k: 3])");
        final ImageData<BufferedImage> image = new ImageData<>(server(slide, true));
        QP.setDefaultImageData(image);
        must(Arrays.equals(ServerReader.of(image).origin(), new long[] {70, 80}), "where the viewer crops");
        fails(Trouble.Kind.NO_MAP, begin + "annotate()");
        fails(Trouble.Kind.NO_ANNOTATION, begin + "roi([])");
        fails(Trouble.Kind.NO_ANNOTATION, begin + "generate('{}')");
        final PathObject area = PathObjects.createAnnotationObject(ROIs.createAreaROI(new Rectangle(600, 900, 900, 900), ImagePlane.getDefaultPlane()),
            PathClass.fromString("Histoloom", null));
        image.getHierarchy().addObject(area);
        image.getHierarchy().getSelectionModel().setSelectedObject(area);

        final Binding binding = new Binding();
        binding.setVariable("args", new String[0]);
        new GroovyShell(binding).evaluate(script);
        final ServerReader reader = ServerReader.of(image);
        final TissueMap map = Preferences.session().map(reader);
        must(map.classes.size() == 8 && map.slideId.equals("openslide: CMU-1"), "the script made a map");
        objects(image, map);
        final MapOverlay overlay = overlay(image, map);
        twoRuns(overlay, image, map);
        final byte[] before = map.labels().data;
        new GroovyShell().evaluate(io.github.histoloom.Script.line("cluster", map.params));
        final TissueMap again = Preferences.session().map(reader);
        must(again != map && Arrays.equals(again.labels().data, before), "the recorded line makes the same map");
        new GroovyShell().evaluate(begin + "run('cluster', [k: 3, roi: " + begin + "roi(qupath.lib.scripting.QP.annotationObjects.take(1))])");
        must(Preferences.session().map(reader).classes.size() == 3, "another number of classes");
        final String folder = new File(out, "tiles").getPath().replace("\\", "/");
        final Object said = new GroovyShell().evaluate(begin + "run('synth', [n: 1, size_px: 128, steps: 2, out_dir: \"${'" + folder + "'}\"])");
        must(Json.integer(Json.object((String) said).get("kept")) == 1 && new File(folder, "manifest.json").isFile(), "a tile from a script: " + said);
        final String set = new File(out, "set").getPath().replace("\\", "/");
        new GroovyShell().evaluate(io.github.histoloom.Script.generate("{\"n\": 1, \"size_px\": 128, \"steps\": 2, \"out_dir\": \"" + set + "\"}"));
        must(new File(set, "manifest.json").isFile(), "a data set from annotations");
        must(Preferences.session().map(reader).classes.stream().anyMatch(c -> c.name().equals("Histoloom")), "of the class that was drawn");
        must(((String) new GroovyShell().evaluate(begin + "doctor()")).contains("\"missing\": []"), "all there");
        Preferences.reopen();
        fails(Trouble.Kind.NO_MAP, begin + "annotate()");
        must(drawn(overlay, image, 4)[20100] == 0, "a map of a closed session is not drawn");
        must(overlay.getLocationString(image, 1200, 1500, 0, 0) == null, "nor told");
        Preferences.reopen();
    }

    private static void objects(ImageData<BufferedImage> image, TissueMap map) {
        final List<PathObject> top = List.copyOf(image.getHierarchy().getAnnotationObjects());
        must(top.size() == 2 && top.get(1).isLocked(), "the script added one parent");
        final Collection<PathObject> children = top.get(1).getChildObjects();
        must(children.size() == map.classes.size(), "a child a class");
        for (PathObject child : children) {
            final TissueMap.TissueClass of = map.classes.stream().filter(c -> c.name().equals(child.getName())).findFirst().orElseThrow();
            must(child.isAnnotation() && (child.getPathClass().getColor() & 0xFFFFFF) == of.rgb(), "class and colour of " + child.getName());
            must(child.getMeasurementList().get("Area um^2") > 0, "measurements");
        }
        must(Objects.add(image, map, true).getChildObjects().iterator().next().isDetection(), "detections");
    }

    /** 200 x 200 pixels at (900, 1200), wholly opaque; as QuPath's viewer does it: the region is the whole slide, what is seen the clip. */
    private static int[] drawn(MapOverlay overlay, ImageData<BufferedImage> image, double downsample) {
        final BufferedImage screen = new BufferedImage(200, 200, BufferedImage.TYPE_INT_ARGB);
        final Graphics2D g = screen.createGraphics();
        g.setClip(0, 0, 200, 200);
        g.scale(1 / downsample, 1 / downsample);
        g.translate(-900, -1200);
        final ImageRegion whole = ImageRegion.createInstance(0, 0, image.getServer().getWidth(), image.getServer().getHeight(), 0, 0);
        overlay.setOpacity(1);
        overlay.paintOverlay(g, whole, downsample, image, true);
        g.dispose();
        return screen.getRGB(0, 0, 200, 200, null, 0, 200);
    }

    private static MapOverlay overlay(ImageData<BufferedImage> image, TissueMap map) {
        final QuPathViewer viewer = new QuPathViewer(image);
        final MapOverlay overlay = new MapOverlay(viewer, map.slideId);
        must(Arrays.stream(drawn(overlay, image, 3)).allMatch(p -> p == 0), "nothing before there is a picture");
        overlay.ended("run", map);
        for (double downsample : new double[] {0.5, 3, 3.7, 40}) {
            final int[] screen = drawn(overlay, image, downsample);
            final double reach = downsample > map.cellPx ? downsample : 0; // zoomed out, within a pixel of the screen, and mixed
            int wrong = 0, shown = 0;
            for (int i = 0; i < screen.length; i++) {
                final double x = 900 + downsample * (i % 200 + 0.5), y = 1200 + downsample * (i / 200 + 0.5);
                wrong += shows(map, screen[i], x, y, reach) ? 0 : 1;
                shown += screen[i] >>> 24 == 0 ? 0 : 1;
            }
            must(shown > 0 && wrong == 0, wrong + " pixels lie wrong, " + shown + " are shown at " + downsample);
        }
        must(map.at(1200, 1500).name().equals(overlay.getLocationString(image, 1200, 1500, 0, 0)), "the class under the mouse");
        overlay.show(false);
        must(drawn(overlay, image, 3)[20100] == 0, "hidden");
        overlay.show(true);
        must(Arrays.stream(drawn(new MapOverlay(viewer, "another slide"), image, 3)).allMatch(p -> p == 0), "on its slide alone");
        return overlay;
    }

    /** Whether a pixel has the colour of the map there, or at one of the places around, or a mixture of several. */
    private static boolean shows(TissueMap map, int argb, double x, double y, double reach) {
        if (reach > 0 && argb != 0 && map.classes.stream().noneMatch(c -> c.rgb() == (argb & 0xFFFFFF))) {
            return true;
        }
        for (double v = y - reach; v <= y + reach; v += Math.max(1, reach / 4)) {
            for (double u = x - reach; u <= x + reach; u += Math.max(1, reach / 4)) {
                final boolean inside = u >= 0 && v >= 0 && u < map.width && v < map.height;
                final TissueMap.TissueClass at = inside ? map.at(u, v) : null;
                if (at == null ? argb >>> 24 == 0 : (argb & 0xFFFFFF) == at.rgb()) {
                    return true;
                }
            }
        }
        return false;
    }

    /** Each shows what it has so far; the map is that of the one that made one. */
    private static void twoRuns(MapOverlay overlay, ImageData<BufferedImage> image, TissueMap map) {
        final int[] before = drawn(overlay, image, 3);
        final BufferedImage red = new BufferedImage(1, 1, BufferedImage.TYPE_INT_RGB);
        red.setRGB(0, 0, 0xFF0000);
        overlay.show("first", red);
        overlay.show("second", red);
        must(drawn(overlay, image, 3)[0] == 0xFFFF0000, "the picture so far");
        overlay.ended("first", map);
        must(drawn(overlay, image, 3)[0] == 0xFFFF0000, "the second run goes on");
        overlay.ended("second", null);
        must(Arrays.equals(drawn(overlay, image, 3), before), "cancelled, it leaves the map of the first");
    }
}
