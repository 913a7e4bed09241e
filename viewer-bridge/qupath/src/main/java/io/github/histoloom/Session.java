package io.github.histoloom;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.stream.Stream;

/** The library, opened once a viewer: runs jobs and keeps the newest map of each slide. Calls block; call them from a background thread. */
public final class Session implements AutoCloseable {
    /** Of how many slides the newest map is kept. */
    public static final int MOST_MAPS = 8;
    private static final int POLL_MS = 200, CONCURRENT_READS = 2;
    private static final Set<String> OF_A_SLIDE = Set.of("cluster", "eval", "atlas_sample", "flags_plant", "flags_index");

    /** Follows a run; called on the thread that runs it, a few times a second. */
    public interface Watcher {
        void progress(Progress progress);

        /** The map so far, stretched over the whole slide; only when it may have changed. */
        default void partial(BufferedImage picture) {}

        default boolean cancelled() {
            return false;
        }
    }

    /** A run that ended well: what it made, its summary, and the script line that repeats it. map or result is null. */
    public record Outcome(String kind, Map<String, Object> summary, String params, String script, TissueMap map, Histoloom.Result result,
        Path folder) {
        Outcome as(String name, String line, TissueMap from) {
            return new Outcome(name, summary, params, line, from, result, folder);
        }

        /** The page to look at, null where the run made none. */
        public Path report() {
            return Session.report(folder);
        }
    }

    private final Histoloom library;
    private final String modelsDir;
    private final Path work;
    private final Drawings drawings;
    private final AtomicInteger runs = new AtomicInteger();
    private final Map<String, TissueMap> maps = new LinkedHashMap<>();

    public Session(Settings settings, Consumer<String> log) throws Trouble {
        final ClassLoader jar = Session.class.getClassLoader();
        modelsDir = settings.models(jar);
        final String path = settings.library(jar);
        drawings = new Drawings(settings.workDir().resolve("drawings"));
        try {
            work = Files.createTempDirectory("histoloom");
        } catch (IOException e) {
            throw Trouble.file("No folder for crops and tiles could be made", e);
        }
        try {
            library = new Histoloom(path, modelsDir, settings.device(), CONCURRENT_READS, (level, text) -> log.accept(text));
        } catch (Histoloom.Failure e) {
            delete(work);
            throw Trouble.of(e, null);
        } catch (UnsatisfiedLinkError e) {
            delete(work);
            throw Trouble.noLibrary("or cannot be loaded, at " + path + " (" + e.getMessage() + ")", e);
        }
    }

    /** The parameters of a job kind; where it takes ops, those that ship are offered. */
    public Form form(String kind) throws Trouble {
        try {
            final Form form = new Form(kind, library.schema(kind));
            for (Form.Field f : form.fields()) {
                if (f.type == Form.Type.NAMES) {
                    Json.list(ops().get("ops")).forEach(op -> f.choices.add((String) Json.object(op).get("name")));
                }
            }
            return form;
        } catch (Histoloom.Failure e) {
            throw Trouble.of(e, null);
        }
    }

    /** The newest map of a slide. */
    public TissueMap map(RegionReader slide) throws Trouble {
        synchronized (maps) {
            final TissueMap newest = maps.get(slide.id());
            if (newest == null) {
                throw Trouble.noMap(slide.name());
            }
            return newest;
        }
    }

    private void keep(TissueMap made) {
        synchronized (maps) {
            maps.remove(made.slideId);
            maps.put(made.slideId, made);
            if (maps.size() > MOST_MAPS) {
                maps.remove(maps.keySet().iterator().next());
            }
        }
    }

    public static boolean needsSlide(String kind) {
        return OF_A_SLIDE.contains(kind);
    }

    /** Runs a job to its end. slide: null where none is open. A job that starts from a map gets the slide's newest, unless "from" is given. */
    public Outcome run(String kind, Map<String, Object> params, RegionReader slide, Watcher watcher) throws Trouble {
        return run(kind, params, slide, null, watcher);
    }

    /** The same from a map that need not be the newest. */
    public Outcome run(String kind, Map<String, Object> params, RegionReader slide, TissueMap map, Watcher watcher) throws Trouble {
        final Outcome made = made(kind, params, slide, map, watcher);
        if (made.map() != null) {
            keep(made.map());
        }
        return owning(map == null || isNewest(map) ? made : made.as(kind, Script.tiles(again(map.params), made.params()), null));
    }

    /** Tiles of the map that these parameters of "cluster" make; the newest map stays what it was. */
    public Outcome tiles(Map<String, Object> ofMap, Map<String, Object> params, RegionReader slide, Watcher watcher) throws Trouble {
        final Outcome made = mapAndTiles(ofMap, params, slide, watcher);
        return owning(made.as("synth", Script.tiles(again(made.map().params), made.params()), made.map()));
    }

    private Outcome mapAndTiles(Map<String, Object> ofMap, Map<String, Object> params, RegionReader slide, Watcher watcher) throws Trouble {
        final TissueMap map = made("cluster", ofMap, slide, null, watcher).map();
        final Outcome tiles = made("synth", params, slide, map, watcher);
        return tiles.as("synth", tiles.script(), map);
    }

    /** Makes a map of the classes that were annotated, then tiles from it; params are those of "synth". The outcome holds both. */
    public Outcome generate(Collection<Outlines.Annotated> drawn, Map<String, Object> params, RegionReader slide, Watcher watcher) throws Trouble {
        final Path file = drawings.keep("annotations", "geojson", Outlines.geojson(drawn).getBytes(StandardCharsets.UTF_8));
        final Outcome made = mapAndTiles(Map.of("annotations", file.toString()), params, slide, watcher);
        keep(made.map()); // not before there are tiles: who cancels keeps the map that was there
        return owning(made.as("generate", Script.generate(made.params()), made.map()));
    }

    /** What makes a map again, but not in its folder, where it lies. */
    private static String again(String params) {
        final Map<String, Object> out = Json.object(params);
        out.put("out_dir", null);
        return Json.write(out);
    }

    private boolean isNewest(TissueMap map) {
        synchronized (maps) {
            return maps.get(map.slideId) == map;
        }
    }

    /** Tiles in a folder of ours go once nobody refers to the outcome; a map's files go with the map. */
    private Outcome owning(Outcome outcome) {
        final Path folder = outcome.folder();
        if (outcome.result() != null && folder != null && folder.startsWith(work)) {
            Histoloom.CLEANER.register(outcome, () -> delete(folder));
        }
        return outcome;
    }

    /** Runs a job; a map it makes is not kept. */
    private Outcome made(String kind, Map<String, Object> params, RegionReader slide, TissueMap map, Watcher watcher) throws Trouble {
        final String name = slide == null ? null : slide.name();
        final Map<String, Object> given = new LinkedHashMap<>(params);
        final boolean ours = given.get("out_dir") == null && Set.of("cluster", "edit", "synth").contains(kind);
        if (needsSlide(kind) && slide == null) {
            throw Trouble.noSlide();
        }
        final TissueMap from = map == null && needsMap(kind, given) ? newest(slide) : map;
        if (ours) {
            given.put("out_dir", work.resolve("run" + runs.incrementAndGet()).toString());
        }
        final Path folder = given.get("out_dir") == null ? null : Path.of((String) given.get("out_dir"));
        Outcome outcome = null;
        try (Histoloom.Slide lent = needsSlide(kind) ? lend(slide) : null;
                Histoloom.Job job = library.start(kind, Json.write(given), lent, from == null ? null : from.result)) {
            follow(job, watcher);
            outcome = finished(kind, job, ours, folder, slide);
            return outcome;
        } catch (Histoloom.Failure e) {
            throw Trouble.of(e, name);
        } catch (IOException e) {
            throw Trouble.file("What the run made cannot be read", e);
        } finally {
            if (ours && outcome == null) {
                delete(folder);
            }
        }
    }

    private static boolean needsMap(String kind, Map<String, Object> given) {
        return Set.of("synth", "edit").contains(kind) && given.get("from") == null;
    }

    private TissueMap newest(RegionReader slide) throws Trouble {
        if (slide == null) {
            throw Trouble.noSlide();
        }
        return map(slide);
    }

    private Histoloom.Slide lend(RegionReader r) {
        final long[] origin = r.origin();
        return library.open(r, r.width(), r.height(), r.downsamples(), r.mpp(), r.mppY(), origin[0], origin[1], r.name(), r.id());
    }

    private static void follow(Histoloom.Job job, Watcher watcher) {
        long seen = -1;
        while (!job.await(POLL_MS)) {
            final Progress p = Progress.of(job.poll());
            watcher.progress(p);
            if (p.done() != seen) {
                seen = p.done();
                final BufferedImage partial = job.partial();
                if (partial != null) {
                    watcher.partial(partial);
                }
            }
            if (watcher.cancelled()) {
                job.cancel();
            }
        }
        watcher.progress(Progress.of(job.poll()));
    }

    private Outcome finished(String kind, Histoloom.Job job, boolean ours, Path folder, RegionReader slide) throws IOException {
        final Histoloom.Result result = job.result();
        final Map<String, Object> params = Json.object(job.params()), summary = Json.object(result.json());
        if (ours) {
            params.put("out_dir", null);
        }
        final String text = Json.write(params);
        TissueMap made = null;
        if ((kind.equals("cluster") || kind.equals("edit")) && slide != null) {
            made = new TissueMap(slide, result, text, folder, ours);
        }
        return new Outcome(kind, summary, text, Script.line(kind, text), made, made == null ? result : null, folder);
    }

    /** What the library, its models and devices are, and what is missing, as lines for the user. */
    public Map<String, Object> doctor() throws Trouble {
        try {
            return Json.object(library.doctor());
        } catch (Histoloom.Failure e) {
            throw Trouble.of(e, null);
        }
    }

    public Map<String, Object> buildInfo() {
        return Json.object(library.buildInfo());
    }

    public Map<String, Object> ops() throws Trouble {
        try {
            return Json.object(library.ops());
        } catch (Histoloom.Failure e) {
            throw Trouble.of(e, null);
        }
    }

    public Map<String, Object> checkOp(String path) throws Trouble {
        try {
            return Json.object(library.checkOp(path));
        } catch (Histoloom.Failure e) {
            throw Trouble.of(e, path);
        }
    }

    public Map<String, Object> inspect(String path) throws Trouble {
        try {
            return Json.object(library.inspect(path));
        } catch (Histoloom.Failure e) {
            throw Trouble.of(e, path);
        }
    }

    /** Flags and origin of a tile's picture, in sentences; of another file what it is. */
    public String told(Path file) throws Trouble {
        final Map<String, Object> said = inspect(file.toString());
        if (!file.getFileName().toString().endsWith(".png")) {
            return Report.summary(said);
        }
        final Path flags = file.resolveSibling(file.getFileName().toString().replaceFirst("\\.png$", "_flags.json"));
        return Report.tile(said, Files.isRegularFile(flags) ? inspect(flags.toString()) : Map.of());
    }

    /** Where drawings are kept. */
    public Drawings drawings() {
        return drawings;
    }

    /** The page that the library writes into a folder, null where there is none. */
    static Path report(Path folder) {
        final Path page = folder == null ? null : folder.resolve("report.html");
        return page != null && Files.isRegularFile(page) ? page : null;
    }

    /** The models folder in use, null where it is the library's own. */
    public String modelsDir() {
        return modelsDir;
    }

    /** Cancels what runs. Maps of this session cannot be drawn any more. */
    @Override
    public void close() {
        library.close();
        delete(work);
    }

    /** Whatever of it is there. */
    static void delete(Path folder) {
        try (Stream<Path> all = Files.walk(folder)) {
            all.sorted(Comparator.reverseOrder()).forEach(p -> p.toFile().delete());
        } catch (IOException | UncheckedIOException e) {
            // what is left lies in the folder for temporary files
        }
    }
}
