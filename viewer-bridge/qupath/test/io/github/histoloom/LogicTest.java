package io.github.histoloom;

import com.sun.jna.Native;
import com.sun.jna.ptr.LongByReference;
import java.awt.Rectangle;
import java.awt.geom.Area;
import java.awt.geom.Ellipse2D;
import java.awt.image.BufferedImage;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import javax.imageio.ImageIO;

/**
 * What the extension does, without QuPath: on the real library and a real slide.
 *
 * <p>java -cp ... io.github.histoloom.LogicTest LIBRARY_DIR MODELS_DIR SLIDE OUT_DIR; prints a line a check and at the end figures as JSON.
 */
public final class LogicTest {
    private static final Session.Watcher QUIET = p -> {};

    private final String[] args;
    private final SlideFile slide;
    private final Map<String, Object> figures = new LinkedHashMap<>();

    private LogicTest(String[] args) {
        this.args = args;
        slide = new SlideFile(args[2]);
    }

    static void must(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    private interface Attempt {
        void run() throws Trouble;
    }

    private static Trouble fails(Trouble.Kind kind, Attempt attempt, String... says) {
        try {
            attempt.run();
        } catch (Trouble t) {
            must(t.kind == kind, t.kind + " instead of " + kind + ": " + t.getMessage());
            for (String s : says) {
                must(t.getMessage().contains(s), "\"" + s + "\" is not in: " + t.getMessage());
            }
            System.out.println("says: " + t.getMessage());
            return t;
        }
        throw new AssertionError("nothing said " + kind);
    }

    private Settings settings(String libraryDir, String modelsDir) {
        return new Settings(libraryDir, modelsDir, "cpu", Path.of(args[3], "work"));
    }

    public static void main(String[] args) throws Exception {
        Locale.setDefault(new Locale("ar", "EG")); // digits and the decimal point are others there
        final LogicTest t = new LogicTest(args);
        t.json();
        t.outlines();
        ReportTest.frames();
        ReportTest.tiles();
        ReportTest.classes();
        t.settingsThatAreWrong();
        try (Session session = new Session(t.settings(args[0], args[1]), line -> {})) {
            ReportTest.doctor(session);
            t.forms(session);
            t.nothingThere(session);
            final TissueMap map = t.cluster(session);
            t.regions(map);
            t.painter(map);
            final TissueMap part = t.selection(session);
            t.drawingOnAnOlderMap(session, map);
            t.otherSlides(session);
            t.goneWithItsLastUser(session);
            t.tilesGoneToo(session);
            t.cancel(session);
            t.again(session, part);
            t.synthesis(session);
            t.generated(session);
            t.drawing(session);
            t.atlas(session);
        }
        t.reads();
        t.slide.close();
        System.out.println(Json.write(t.figures));
    }

    private void json() {
        final String text = "{\"a\": [1, -2.5, 9223372036854775807, true, null], \"b\": {\"c\": \"\\\"\\u00e9\\n\\\\\"}}";
        final Object value = Json.parse(text);
        must(Json.parse(Json.write(value)).equals(value), "JSON there and back: " + Json.write(value));
        must(Json.list(Json.object(value).get("a")).get(2).equals(Long.MAX_VALUE), "the largest seed");
        for (String bad : List.of("", "{", "[1,]", "{\"a\" 1}", "tru", "1 2", "\"x")) {
            try {
                throw new AssertionError(bad + " was taken as " + Json.parse(bad));
            } catch (IllegalArgumentException e) {
                must(e.getMessage().contains("JSON"), e.getMessage());
            }
        }
    }

    /** By hand: the even-odd rule over the one ring gives the shape back. */
    private void outlines() {
        final Area ringAndIsland = new Area(new Rectangle(0, 0, 100, 100));
        ringAndIsland.subtract(new Area(new Rectangle(20, 20, 60, 60)));
        ringAndIsland.add(new Area(new Ellipse2D.Double(200, 10, 50, 50)));
        final List<Object> roi = Outlines.roi(List.of(ringAndIsland, new Rectangle(5, 5, 1, 1)));
        must(roi.size() == 2, "a polygon a shape");
        final List<Object> ring = Json.list(roi.get(0));
        for (double[] p : new double[][] {{10, 50}, {50, 50}, {90, 90}, {150, 30}, {225, 35}, {195, 35}, {50, 10}}) {
            boolean inside = false;
            for (int i = 0; i < ring.size(); i++) {
                final double ax = at(ring, i, 0), ay = at(ring, i, 1), bx = at(ring, i + 1, 0), by = at(ring, i + 1, 1);
                inside ^= ay > p[1] != by > p[1] && p[0] < ax + (p[1] - ay) / (by - ay) * (bx - ax);
            }
            must(inside == ringAndIsland.contains(p[0], p[1]), "inside or not: " + Arrays.toString(p));
        }
    }

    private static double at(List<Object> ring, int i, int axis) {
        return Json.number(Json.list(ring.get(i % ring.size())).get(axis));
    }

    private void settingsThatAreWrong() {
        fails(Trouble.Kind.NO_LIBRARY, () -> new Session(settings("/nowhere", args[1]), l -> {}).close(), "/nowhere", "Manage models and ops");
        fails(Trouble.Kind.NO_MODEL, () -> new Session(settings(args[0], "/nowhere"), l -> {}).close(), "/nowhere", "manifest.json");
    }

    private void forms(Session session) throws Trouble {
        for (Object kind : Json.list(session.buildInfo().get("kinds"))) {
            final Form form = session.form((String) kind);
            must(!form.fields().isEmpty() && form.json().equals("{}"), kind + " begins with its defaults: " + form.json());
            for (Form.Field f : form.fields()) {
                if (f.type != Form.Type.OTHER) {
                    form.set(f.name, f.text());
                }
                must(!f.title.equals(f.name) && !f.description.isEmpty(), kind + "." + f.name + " is explained");
            }
            must(form.json().equals("{}"), kind + " accepts its defaults: " + form.json());
        }
        final Form form = session.form("cluster");
        form.set("k", "5");
        form.set("normalise", "macenko");
        form.set("mpp", "0.5");
        must(form.json().equals("{\"k\": 5, \"mpp\": 0.5, \"normalise\": \"macenko\"}"), form.json());
        must(form.field("min_region_um2").title.equals("Smallest region (\u00b5m\u00b2)") && form.field("k").range().equals("0 to 100"), "titles");
        fails(Trouble.Kind.PARAMETER, () -> form.set("k", "101"), "Number of classes", "0 to 100", "101");
        fails(Trouble.Kind.PARAMETER, () -> form.set("k", "2.5"), "whole number");
        fails(Trouble.Kind.PARAMETER, () -> form.set("seed", ""), "Seed");
        fails(Trouble.Kind.PARAMETER, () -> form.set("normalise", "other"), "none, macenko");
        must(form.json().contains("\"k\": 5"), "what is refused changes nothing");
        form.set("mpp", "");
        must(form.json().equals("{\"k\": 5, \"normalise\": \"macenko\"}"), "an empty field is the default");
        final Form calibrate = session.form("flags_calibrate");
        calibrate.set("test", " /a b\n\n/c,d \n");
        must(calibrate.json().equals("{\"test\": [\"/a b\", \"/c,d\"]}") && calibrate.field("test").text().equals("/a b\n/c,d"), calibrate.json());
        final Form older = new Form("cluster", "{\"properties\": {\"k\": {\"type\": \"integer\", \"default\": 8}}}");
        must(older.field("k").title.equals("k"), "a library without titles");
        final Form.Field ops = session.form("op").field("ops");
        must(ops.choices.size() >= 8 && ops.choices.containsAll(ops.lines()), "ops to tick: " + ops.choices);
    }

    private void nothingThere(Session session) {
        final Set<String> messages = new HashSet<>();
        messages.add(fails(Trouble.Kind.NO_SLIDE, () -> session.run("cluster", Map.of(), null, QUIET), "No slide is open").getMessage());
        messages.add(fails(Trouble.Kind.NO_TISSUE, () -> session.run("cluster", Map.of(), new Glass(), QUIET), "empty glass").getMessage());
        messages.add(fails(Trouble.Kind.NO_MAP, () -> session.run("synth", Map.of(), slide, QUIET), "CMU-1", "Cluster slide").getMessage());
        messages.add(Trouble.noAnnotation("CMU-1").getMessage());
        fails(Trouble.Kind.PARAMETER, () -> session.run("cluster", Map.of("sedd", 1L), slide, QUIET), "sedd");
        must(messages.size() == 4, "four messages: " + messages);
    }

    /** The demo slide, all of it; the overlay is in legend colours and lies where the labels do. */
    private TissueMap cluster(Session session) throws Trouble, IOException {
        final long began = System.nanoTime();
        final List<String> stages = new ArrayList<>();
        final List<BufferedImage> partials = new ArrayList<>();
        final List<Double> firstOverlay = new ArrayList<>();
        final boolean[] eta = new boolean[1];
        final Session.Outcome outcome = session.run("cluster", Map.of("k", 4L, "seed", 3L), slide, new Session.Watcher() {
            @Override
            public void progress(Progress p) {
                if (stages.isEmpty() || !stages.get(stages.size() - 1).equals(p.stage())) {
                    stages.add(p.stage());
                }
                eta[0] |= p.etaSeconds() >= 0 && p.line().endsWith(" left in this step");
            }

            @Override
            public void partial(BufferedImage picture) {
                if (opaque(picture) > 0) {
                    partials.add(picture);
                    firstOverlay.add((System.nanoTime() - began) / 1e9);
                }
            }
        });
        final double seconds = (System.nanoTime() - began) / 1e9;
        System.out.println("stages: " + stages + ", partial pictures: " + partials.size());
        must(stages.size() > 2 && stages.contains("looking at the tissue") && eta[0], "stages with an estimate");
        must(!partials.isEmpty(), "a partial overlay before the end");
        final TissueMap map = outcome.map();
        must(map == session.map(slide) && map.classes.size() == 4 && map.classes.get(0).crops().size() > 1, "a map with exemplars");
        final Histoloom.Labels labels = map.labels();
        must(partials.get(partials.size() - 1).getWidth() == labels.width, "a partial picture has a pixel a cell");
        final Set<Integer> legend = new HashSet<>(), seen = new HashSet<>();
        map.classes.forEach(c -> legend.add(0xFF000000 | c.rgb()));
        final int w = 555, h = 741;
        final BufferedImage overlay = map.overlay(0, 0, 4, w, h);
        for (int y = 0; y < h; y++) {
            for (int x = 0; x < w; x++) {
                final int argb = overlay.getRGB(x, y);
                final int label = labels.data[(int) ((y * 4 + 2) / map.cellPx) * labels.width + (int) ((x * 4 + 2) / map.cellPx)] & 255;
                must(label == 0 ? argb >>> 24 == 0 : (argb & 0xFFFFFF) == map.classes.get(label - 1).rgb(), "the overlay at " + x + ", " + y);
                if (argb >>> 24 == 255) {
                    seen.add(argb);
                }
            }
        }
        must(seen.equals(legend), "overlay colours " + seen + " are the legend's " + legend);
        ImageIO.write(overlay, "png", new File(args[3], "overlay.png"));
        ImageIO.write(partials.get(0), "png", new File(args[3], "partial.png"));
        final long drawing = System.nanoTime();
        for (int i = 0; i < 20; i++) {
            map.overlay(10 * i, 10 * i, 1.3, 1600, 1000);
        }
        figures.put("overlay_1600x1000_ms", (System.nanoTime() - drawing) / 20e6);
        figures.put("cluster_s", seconds);
        figures.put("first_overlay_s", firstOverlay.get(0));
        return map;
    }

    private static int opaque(BufferedImage picture) {
        int n = 0;
        for (int argb : picture.getRGB(0, 0, picture.getWidth(), picture.getHeight(), null, 0, picture.getWidth())) {
            n += argb >>> 24 > 0 ? 1 : 0;
        }
        return n;
    }

    /** Annotations cover the cells of their class and no others. */
    private void regions(TissueMap map) {
        final List<MapRegion> regions = map.regions();
        must(regions.size() == map.classes.size(), regions.size() + " regions");
        final Histoloom.Labels labels = map.labels();
        int wrong = 0;
        for (int i = 0; i < labels.data.length; i += 7) {
            final double x = (i % labels.width + 0.5) * map.cellPx, y = (i / labels.width + 0.5) * map.cellPx;
            for (int c = 0; c < regions.size() && x < map.width && y < map.height; c++) {
                final int label = labels.data[i] & 255;
                final boolean is = label > 0 && map.classes.get(label - 1).name().equals(regions.get(c).name());
                wrong += regions.get(c).shape().contains(x, y) == is ? 0 : 1;
            }
        }
        must(wrong == 0, wrong + " cells lie in annotations of another class");
        final MapRegion one = regions.get(0);
        must(one.rgb() == map.classes.get(0).rgb() && one.measurements().get("Area um^2") > 0, "colour and measurements: " + one);
        final TissueMap.TissueClass there = map.at(1200, 1500);
        must(there != null && regions.stream().anyMatch(r -> r.name().equals(there.name()) && r.shape().contains(1200, 1500)), "the class under the mouse");
    }

    /** Two annotations, one with a hole. */
    private TissueMap selection(Session session) throws Trouble {
        final Area ring = new Area(new Rectangle(600, 900, 800, 800));
        ring.subtract(new Area(new Rectangle(850, 1150, 300, 300)));
        final Map<String, Object> params = Map.of("k", 3L, "seed", 3L, "min_region_um2", 0.0, "roi", Outlines.roi(List.of(ring, new Rectangle(1500, 1800, 300, 300))));
        final TissueMap map = session.run("cluster", params, slide, QUIET).map();
        must(map.at(1000, 1300) == null && map.at(500, 800) == null, "nothing in the hole or outside");
        for (int[] part : new int[][] {{600, 900}, {1500, 1800}}) {
            boolean any = false;
            for (byte label : map.labels(part[0], part[1], 1, 250, 250).data) {
                any |= label != 0;
            }
            must(any, "classes in both annotations: " + Arrays.toString(part));
        }
        return map;
    }

    /** Another map was made since the window was opened; its classes are not those that were drawn. */
    private void drawingOnAnOlderMap(Session session, TissueMap map) throws Trouble {
        must(session.map(slide) != map && session.map(slide).classes.size() == 3, "a newer map");
        final Synthesis s = tile(session, map, "128");
        s.fill(4);
        final Session.Outcome older = made(session, s);
        must(older.script().contains(".tiles('") && older.script().contains("labels"), "a tile of class 4 by a line of its own: " + older.script());
        final TissueMap newest = session.map(slide);
        final Session.Outcome again = session.tiles(Json.object(map.params), Json.object(older.params()), slide, QUIET);
        must(Arrays.equals(pixels(Synthesis.tiles(again).tiles().get(0).image), pixels(s.gallery().get(0).image)), "which makes the same tile");
        must(again.script().equals(older.script()) && session.map(slide) == newest, "and leaves the newest map: " + again.script());
    }

    /** The slide as another one; with what is set. */
    private final class Other implements RegionReader {
        String id = "other";
        double mppY = slide.mpp();
        long[] origin = {0, 0};

        @Override
        public BufferedImage read(long x, long y, double downsample, int width, int height) throws Exception {
            return slide.read(x, y, downsample, width, height);
        }

        @Override
        public long width() {
            return slide.width();
        }

        @Override
        public long height() {
            return slide.height();
        }

        @Override
        public double[] downsamples() {
            return slide.downsamples();
        }

        @Override
        public double mpp() {
            return slide.mpp();
        }

        @Override
        public double mppY() {
            return mppY;
        }

        @Override
        public long[] origin() {
            return origin;
        }

        @Override
        public String name() {
            return id;
        }

        @Override
        public String id() {
            return id;
        }
    }

    private static final Map<String, Object> SMALL = Map.of("k", 2L, "roi", Outlines.roi(List.of(new Rectangle(700, 1000, 300, 300))));

    /** Each slide has its newest map; where it lies in its file is recorded; pixels that are not square are refused. */
    private void otherSlides(Session session) throws Trouble, IOException {
        final TissueMap before = session.map(slide);
        final Other other = new Other();
        other.origin = new long[] {1000, 2000};
        final Map<String, Object> params = new LinkedHashMap<>(SMALL);
        params.put("out_dir", Path.of(args[3], "map beside \u00e9\u4e2d").toString());
        final TissueMap map = session.run("cluster", params, other, QUIET).map();
        must(session.map(other) == map && session.map(slide) == before, "a map a slide");
        final Object provenance = Json.object(Files.readString(Path.of((String) params.get("out_dir"), "map.json"))).get("provenance");
        final Object origin = Json.object(Json.object(provenance).get("slide")).get("origin_px");
        must(Json.write(origin).equals("[1000, 2000]"), "the origin is recorded: " + origin);
        other.mppY = 0.7;
        fails(Trouble.Kind.PARAMETER, () -> session.run("cluster", SMALL, other, QUIET), "not square");
        for (int i = 0; i < Session.MOST_MAPS; i++) {
            final Other more = new Other();
            more.id = "more " + i;
            session.run("cluster", SMALL, more, QUIET);
        }
        fails(Trouble.Kind.NO_MAP, () -> session.map(other), "other");
        fails(Trouble.Kind.NO_MAP, () -> session.map(slide), "CMU-1");
        must(session.run("cluster", SMALL, slide, QUIET).map() == session.map(slide), "the newest again");
    }

    /** A map that nobody refers to is given back to the library, and its files go. */
    private void goneWithItsLastUser(Session session) throws Trouble {
        final Path crop = session.map(slide).classes.get(0).crops().get(0).file();
        final long id = session.map(slide).result.id;
        final Histoloom.Abi abi = Native.load(new File(args[0], System.mapLibraryName("histoloom")).getPath(), Histoloom.Abi.class);
        must(Files.exists(crop) && abi.hl_result_json(id, null, 0, new LongByReference()) == 0, "there before");
        session.run("cluster", SMALL, slide, QUIET);
        final long began = System.nanoTime();
        while (Files.exists(crop) || abi.hl_result_json(id, null, 0, new LongByReference()) == 0) {
            must(System.nanoTime() - began < 20e9, "an earlier map is held for ever");
            System.gc();
        }
    }

    /** So are the tiles that nobody looks at any more. */
    private void tilesGoneToo(Session session) throws Trouble {
        final Path folder = session.run("synth", Map.of("n", 1L, "size_px", 128L, "steps", 1L), slide, QUIET).folder();
        final long began = System.nanoTime();
        while (Files.exists(folder)) {
            must(System.nanoTime() - began < 20e9, "tiles of an earlier run are held for ever");
            System.gc();
        }
    }

    private void cancel(Session session) throws Trouble {
        final TissueMap before = session.map(slide);
        final boolean[] stop = new boolean[1];
        final long[] asked = new long[1];
        fails(Trouble.Kind.CANCELLED, () -> session.run("cluster", Map.of("seed", 9L), slide, new Session.Watcher() {
            @Override
            public void progress(Progress p) {
                if (p.done() > 0 && !stop[0]) {
                    stop[0] = true;
                    asked[0] = System.nanoTime();
                }
            }

            @Override
            public boolean cancelled() {
                return stop[0];
            }
        }), "Cancelled");
        figures.put("cancel_s", (System.nanoTime() - asked[0]) / 1e9);
        must(session.map(slide) == before, "a cancelled run leaves the map");
    }

    /** The recorded parameters give the same bytes. */
    private void again(Session session, TissueMap map) throws Trouble {
        final String line = Script.line("cluster", map.params), begin = "io.github.histoloom.qupath.HistoloomScripts.run('cluster', '''";
        must(line.startsWith(begin) && line.endsWith("''')"), line);
        must(Long.valueOf(3).equals(Json.object(map.params).get("seed")), "what was asked for is recorded: " + map.params);
        final TissueMap repeated = session.run("cluster", Json.object(line.substring(begin.length(), line.length() - 4)), slide, QUIET).map();
        must(Arrays.equals(repeated.labels().data, map.labels().data), "the script line makes the same map");
        must(repeated.params.equals(map.params), "and records the same line");
        final Map<String, Object> changed = Json.object(map.params);
        changed.put("k", 4L);
        final TissueMap other = session.run("cluster", changed, slide, QUIET).map();
        must(!Arrays.equals(other.labels().data, map.labels().data), "other parameters make another");
        must(Script.line("cluster", "{\"labels\": \"it's \\\\\"}").endsWith("\"it\\'s \\\\\\\\\"}''')"), "quotes and backslashes: " + Script.line("cluster", "\\"));
    }

    private void atlas(Session session) throws Trouble {
        final TissueMap map = session.run("cluster", Map.of("atlas", Path.of(args[1], "he_atlas.json").toString(), "roi",
            Outlines.roi(List.of(new Rectangle(600, 900, 900, 900)))), slide, QUIET).map();
        must(map.classes.size() > 1 && Json.object(map.summary()).toString().contains("unknown_share"), "classes of the atlas");
    }

    private void synthesis(Session session) throws Trouble, IOException {
        final Synthesis synthesis = tile(session, session.map(slide), "128");
        synthesis.form.set("n", "2");
        synthesis.form.set("steps", "3");
        final Session.Outcome outcome = made(session, synthesis);
        must(synthesis.gallery().size() == 2 && outcome.script().contains("'synth'"), "two tiles");
        final Tile tile = synthesis.gallery().get(0);
        must(tile.image.getWidth() == 128 && tile.accepted == tile.flags.isEmpty(), "flagged tiles are out at first");
        must(synthesis.report() != null && session.map(slide).report() != null, "pages to look at");
        ImageIO.write(tile.drawn(), "png", new File(args[3], "tile.png"));
        tile.accepted = true;
        synthesis.gallery().get(1).accepted = false;
        final Path to = Path.of(args[3], "accepted");
        must(synthesis.export(to) == 1, "one tile is exported");
        fails(Trouble.Kind.PARAMETER, () -> synthesis.export(to), "holds tiles already");
        final Map<String, Object> manifest = Json.object(Files.readString(to.resolve("manifest.json")));
        final List<Object> listed = new ArrayList<>(Json.list(manifest.get("tiles")));
        listed.addAll(Json.list(manifest.get("flagged")));
        must(listed.size() == 1 && Boolean.TRUE.equals(manifest.get("synthetic")), "the manifest lists it");
        final Path png = to.resolve((String) Json.object(listed.get(0)).get("image"));
        ReportTest.plain(session.told(png), "A synthetic tile, not real tissue.", "The flags are calibrated.", "Seed 1, 3 steps", "Made by histoloom ");
        ReportTest.plain(session.told(to.resolve("manifest.json")), "1 synthetic tile, ");
        ReportTest.plain(Report.summary(outcome.summary()), "2 synthetic tiles, ", "The flags are calibrated.");
        final Map<String, Object> repeat = Json.object(outcome.params());
        try (Histoloom.Result result = session.run("synth", repeat, slide, QUIET).result()) {
            must(Arrays.equals(pixels(result.tile(0)), pixels(tile.image)), "the script line makes the same tile");
        }
    }

    /** What a viewer shows of the map, and no more, is read. */
    private void painter(TissueMap map) {
        final Rectangle cells = MapPainter.seen(new Rectangle(900, 1200, 600, 600), map, map.cellPx);
        must(cells.width * map.cellPx < 600 + 2 * map.cellPx, "no more is read than is seen: " + cells);
        must(MapPainter.seen(new Rectangle(-50, -50, 40, 40), map, 1).isEmpty(), "nothing beside the slide");
    }

    /** From annotations with classes to tiles of them; a hole belongs to the other tissue. */
    private void generated(Session session) throws Trouble {
        final Other other = new Other();
        other.id = "annotated";
        final Area ring = new Area(new Rectangle(700, 1300, 450, 500));
        ring.subtract(new Area(new Rectangle(850, 1450, 150, 150)));
        final List<Outlines.Annotated> drawn = List.of(new Outlines.Annotated("Dermis", 0x0040C8, ring, null),
            new Outlines.Annotated("Epidermis", null, new Ellipse2D.Double(1250, 900, 350, 500), "mine"));
        must(!Outlines.geojson(drawn).contains("pseudo-semantic")
            && Outlines.geojson(List.of(new Outlines.Annotated("Tissue 1", null, ring, Outlines.OF_A_MAP))).contains("pseudo-semantic"), "who made an annotation");
        final Session.Outcome outcome = session.generate(drawn, Map.of("n", 1L, "size_px", 128L, "steps", 2L), other, QUIET);
        final TissueMap map = outcome.map();
        final List<String> names = new ArrayList<>();
        map.classes.forEach(c -> names.add(c.name()));
        must(names.equals(List.of("Dermis", "Epidermis", "Other tissue")), "the classes that were drawn: " + names);
        final Histoloom.Labels labels = map.labels();
        final double cell = (double) map.width / labels.width;
        final int[][] at = {{900, 1350, 1}, {925, 1525, 3}, {1425, 1150, 2}, {60, 60, 0}};
        for (int[] p : at) {
            final int found = labels.data[(int) (p[1] / cell) * labels.width + (int) (p[0] / cell)];
            must(found == p[2], "label " + found + " at " + p[0] + ", " + p[1]);
        }
        must(session.map(other) == map && outcome.script().contains("HistoloomScripts.generate('''{"), "kept, and a line: " + outcome.script());
        must(Synthesis.tiles(outcome).tiles().size() == 1, "a tile");
        outcome.result().close();
        fails(Trouble.Kind.PARAMETER, () -> session.generate(List.of(), Map.of(), other, QUIET), "no region");
        final boolean[] ofTiles = new boolean[1];
        fails(Trouble.Kind.CANCELLED, () -> session.generate(drawn, Map.of("n", 50L), other, new Session.Watcher() {
            @Override
            public void progress(Progress p) {
                ofTiles[0] |= p.total() >= 300 && p.total() % 50 == 0; // steps of the tiles
            }

            @Override
            public boolean cancelled() {
                return ofTiles[0];
            }
        }), "Nothing was changed");
        fails(Trouble.Kind.PARAMETER, () -> session.generate(drawn, Map.of("n", 0L), other, QUIET), "n");
        must(session.map(other) == map, "which is so: the newest map is the one before");
        ReportTest.plain(Report.summary(Json.object(map.summary())), "A map of 3 classes:", "Dermis, ");
        final TissueMap repeated = session.run("cluster", Json.object(map.params), other, QUIET).map();
        must(Arrays.equals(repeated.labels().data, labels.data), "what was drawn is kept, so that its line makes the map again");
    }

    private static int[] pixels(BufferedImage image) {
        return image.getRGB(0, 0, image.getWidth(), image.getHeight(), null, 0, image.getWidth());
    }

    private Synthesis tile(Session session, TissueMap map, String side) throws Trouble {
        final Synthesis s = new Synthesis(map, session.form("synth"), session.drawings());
        s.form.set("n", "1");
        s.form.set("size_px", side);
        s.form.set("steps", "2");
        return s;
    }

    /** As the window does. */
    private Session.Outcome made(Session session, Synthesis s) throws Trouble {
        final Session.Outcome outcome = session.run("synth", s.params(), slide, s.map, QUIET);
        s.show(Synthesis.tiles(outcome));
        return outcome;
    }

    private static int at(Synthesis s, int x, int y) {
        return s.canvas().getRaster().getSample(x, y, 0);
    }

    /** Brush, annotation and map as label maps; the tile has exactly the labels drawn, and the crops chosen. */
    private void drawing(Session session) throws Trouble {
        final Synthesis s = tile(session, session.map(slide), "128");
        s.fromMap(900, 1200);
        final Histoloom.Labels there = s.map.labels(900, 1200, s.map.downsample, 128, 128);
        must(s.canvas().getRaster().getSample(64, 64, 0) == (there.data[64 * 128 + 64] & 255), "the map's labels");
        final double scale = s.map.downsample;
        final Rectangle low = new Rectangle(900 + (int) (80 * scale), 1200 + (int) (80 * scale), (int) (32 * scale), (int) (32 * scale));
        final int other = at(s, 70, 90) == 2 ? 1 : 2;
        s.annotations(List.of(new Synthesis.Area(other, low)));
        must(at(s, 90, 90) == other && at(s, 70, 90) != other, "an annotation lies where it lies on the map");
        s.fill(1);
        s.annotations(List.of(s.area(s.map.classes.get(1).name(), 1, low)));
        must(at(s, 10, 10) == 2 && at(s, 40, 40) == 1, "without a place it lies in the corner");
        s.fill(1);
        s.brush(2, 40, 40, 40, 40, 20);
        must(at(s, 40, 40) == 2 && at(s, 57, 40) == 2 && at(s, 63, 40) == 1 && at(s, 5, 5) == 1, "a dab of the brush");
        s.brush(2, 20, 100, 100, 100, 4);
        must(at(s, 60, 100) == 2 && at(s, 60, 106) == 1, "a stroke of the brush has no gaps");
        must((s.drawn().getRGB(40, 40) & 0xFFFFFF) == s.map.classes.get(1).rgb(), "legend colours");
        must(s.area("no such class", 1, low).label() == 1 && s.area(null, 2, low).label() == 2, "else the class that is chosen");
        s.noDrawing();
        s.brushShown(256, 2, 100, 100, 100, 100, 20);
        must(at(s, 50, 50) == 2 && at(s, 58, 50) == 2 && at(s, 62, 50) == 0, "where it is shown at twice its size");
        final double half = 64 * scale;
        s.fromMapAround(900 + half, 1200 + half);
        must(at(s, 64, 64) == (there.data[64 * 128 + 64] & 255), "the map around a place");
        s.fill(1);
        s.brush(2, 40, 40, 40, 40, 20);
        final List<TissueMap.Crop> crops = s.map.classes.get(1).crops();
        crops.forEach(c -> must(Files.isRegularFile(c.file()), "a picture of each crop: " + c));
        for (TissueMap.Crop c : crops.subList(0, 3)) {
            s.chooseCrop(2, c.index());
        }
        must(s.crops(2).equals(List.of(crops.get(1).index(), crops.get(2).index())), "the last two chosen: " + s.crops(2));
        s.chooseCrop(2, crops.get(1).index());
        s.chooseCrop(1, s.map.classes.get(0).crops().get(0).file().toString());
        final Session.Outcome outcome = made(session, s);
        must(s.gallery().size() == 1 && outcome.script().contains("labels-128px"), "a tile from a drawing: " + outcome.script());
        must(outcome.script().contains("\"2\": [" + crops.get(2).index() + "]"), "the crop chosen is recorded: " + outcome.script());
        final Object recorded = Json.object(outcome.params()).get("labels");
        must(recorded.equals(s.params().get("labels")), "the drawing is recorded: " + recorded);
        must(Files.isRegularFile(Path.of((String) recorded)), "and kept for the script");
        s.form.set("size_px", "256");
        fails(Trouble.Kind.PARAMETER, s::params, "128 px", "256");
    }

    private void reads() {
        final BufferedImage tile = new BufferedImage(256, 256, BufferedImage.TYPE_INT_ARGB);
        tile.setRGB(255, 255, 0xFF123456);
        final BufferedImage rgb = new BufferedImage(256, 256, BufferedImage.TYPE_INT_RGB);
        final String library = new File(args[0], System.mapLibraryName("histoloom")).getPath();
        figures.put("reads_of_the_slide", slide.reads.get());
        figures.put("reads_per_s_256px_argb", Reads.perSecond(library, args[1], tile));
        figures.put("reads_per_s_256px_rgb", Reads.perSecond(library, args[1], rgb));
    }
}
