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

    private static void must(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    /** As QuPath's servers do, it gives RGB pictures of a size that may be rounded otherwise. */
    private static ImageServer<BufferedImage> server(RegionReader slide, boolean rgb) {
        return new ImageServer<>() {
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
                return new ImageServerMetadata(slide.name(), new PixelCalibration(slide.mpp()));
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
        fails(Trouble.Kind.NO_MAP, begin + "annotate()");
        fails(Trouble.Kind.NO_ANNOTATION, begin + "roi([])");
        final PathObject area = PathObjects.createAnnotationObject(ROIs.createAreaROI(new Rectangle(600, 900, 900, 900), ImagePlane.getDefaultPlane()),
            PathClass.fromString("Histoloom", null));
        image.getHierarchy().addObject(area);
        image.getHierarchy().getSelectionModel().setSelectedObject(area);

        final Binding binding = new Binding();
        binding.setVariable("args", new String[0]);
        new GroovyShell(binding).evaluate(script);
        final TissueMap map = Preferences.session().map();
        must(map.classes.size() == 8 && map.slideId.equals("openslide: CMU-1"), "the script made a map");
        objects(image, map);
        overlay(image, map);

        final byte[] before = map.labels().data;
        new GroovyShell().evaluate(io.github.histoloom.Script.line("cluster", map.params));
        final TissueMap again = Preferences.session().map();
        must(again != map && Arrays.equals(again.labels().data, before), "the recorded line makes the same map");
        new GroovyShell().evaluate(begin + "run('cluster', [k: 3, roi: " + begin + "roi(qupath.lib.scripting.QP.annotationObjects.take(1))])");
        must(Preferences.session().map().classes.size() == 3, "another number of classes");
        final String folder = new File(out, "tiles").getPath().replace("\\", "/");
        final Object said = new GroovyShell().evaluate(begin + "run('synth', [n: 1, size_px: 128, steps: 2, out_dir: \"${'" + folder + "'}\"])");
        must(Json.integer(Json.object((String) said).get("kept")) == 1 && new File(folder, "manifest.json").isFile(), "a tile from a script: " + said);
        must(((String) new GroovyShell().evaluate(begin + "doctor()")).contains("\"missing\": []"), "all there");
        Preferences.reopen();
        must(Preferences.session().map() == null, "a new session has no map");
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

    /** Drawn as a viewer does at downsample 3, half opaque. */
    private static void overlay(ImageData<BufferedImage> image, TissueMap map) {
        final QuPathViewer viewer = new QuPathViewer(image);
        final MapOverlay overlay = new MapOverlay(viewer, image);
        viewer.getCustomOverlayLayers().add(overlay);
        final BufferedImage screen = new BufferedImage(200, 200, BufferedImage.TYPE_INT_ARGB);
        final Graphics2D g = screen.createGraphics();
        g.scale(1 / 3.0, 1 / 3.0);
        g.translate(-900, -1200);
        final ImageRegion shown = ImageRegion.createInstance(900, 1200, 600, 600, 0, 0);
        overlay.paintOverlay(g, shown, 3, image, true);
        must(screen.getRGB(100, 100) == 0, "nothing before there is a picture");
        overlay.show(map);
        overlay.setOpacity(1);
        overlay.paintOverlay(g, shown, 3, image, true);
        int wrong = 0;
        for (int y = 0; y < 200; y++) {
            for (int x = 0; x < 200; x++) {
                final TissueMap.TissueClass at = map.at(900 + 3 * x + 1.5, 1200 + 3 * y + 1.5);
                wrong += (at == null ? screen.getRGB(x, y) >>> 24 == 0 : (screen.getRGB(x, y) & 0xFFFFFF) == at.rgb()) ? 0 : 1;
            }
        }
        must(wrong == 0, wrong + " of 40000 pixels of the overlay lie wrong");
        must(map.at(1200, 1500).name().equals(overlay.getLocationString(image, 1200, 1500, 0, 0)), "the class under the mouse");
        overlay.hide();
        must(viewer.getCustomOverlayLayers().isEmpty(), "hidden");
        g.dispose();
    }
}
