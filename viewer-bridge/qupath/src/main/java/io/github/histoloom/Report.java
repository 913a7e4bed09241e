package io.github.histoloom;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.BiConsumer;

/** What the library tells as JSON, in sentences: what a run made, what a file says of itself, what is there and what is missing. */
public final class Report {
    /** By the key "kind" of a summary, or "format" of a file. */
    private static final Map<String, BiConsumer<Map<String, Object>, List<String>>> KINDS = Map.ofEntries(
        Map.entry("cluster", Report::map), Map.entry("edit", Report::map), Map.entry("synth", Report::tiles), Map.entry("op", Report::processed),
        Map.entry("flags_plant", Report::planted), Map.entry("flags_calibrate", Report::calibration), Map.entry("flags_index", Report::indexed),
        Map.entry("import", Report::imported), Map.entry("histoloom-map", Report::classes), Map.entry("histoloom-data-set", Report::dataSet),
        Map.entry("histoloom-calibration", Report::calibration), Map.entry("histoloom-index", Report::indexed));

    private Report() {}

    /** What is missing with its remedy, library, devices and why one is refused, models, atlas, calibration, ops. */
    public static String doctor(Map<String, Object> doctor, String modelsDir) {
        final List<String> out = new ArrayList<>();
        final List<Object> missing = list(doctor.get("missing"));
        out.add(missing.isEmpty() ? "Everything is there." : "Missing, and what to do about it:");
        missing.forEach(m -> out.add("  " + m));
        final Map<String, Object> build = map(doctor.get("build"));
        out.add("");
        out.add("Library: Histoloom " + build.get("version") + ", ABI " + build.get("abi") + ", for " + build.get("os") + " on " + build.get("arch"));
        final Object path = map(doctor.get("library")).get("path");
        out.add("  " + (path == null ? "where it lies is not known" : path));
        devices(doctor, out);
        out.add("Models: " + (modelsDir == null ? "those beside the library" : modelsDir));
        for (Object each : list(doctor.get("weights"))) {
            final Map<String, Object> network = map(each);
            out.add("  " + network.get("network") + ": " + (Boolean.TRUE.equals(network.get("ok")) ? "ready" : "missing or damaged"));
        }
        final Map<String, Object> atlas = map(doctor.get("atlas"));
        out.add("Atlas: " + (atlas.isEmpty() ? "none" : Boolean.TRUE.equals(atlas.get("ok"))
            ? "ready, with " + atlas.get("types") + " types of tissue" : "missing or damaged"));
        out.add("Calibration of the flags:" + (map(doctor.get("flags")).isEmpty() ? " none" : ""));
        map(doctor.get("flags")).forEach((what, found) -> {
            final Object why = map(found).get("missing");
            out.add("  " + what + ": " + (why == null ? "ready" : why));
        });
        out.add("Ops:");
        ops(map(doctor.get("ops")), out);
        return String.join("\n", out);
    }

    private static void devices(Map<String, Object> doctor, List<String> out) {
        final Map<String, Object> used = map(doctor.get("device")), all = map(doctor.get("devices"));
        out.add("Device: " + (used.isEmpty() ? "none could be opened" : used.get("name") + " (" + used.get("kind") + ")"));
        list(used.get("refused")).forEach(why -> out.add("  refused: " + why));
        out.add("  processor: " + map(all.get("cpu")).get("threads") + " cores");
        for (Object each : list(all.get("adapters"))) {
            final Map<String, Object> a = map(each);
            out.add("  " + a.get("device") + ": " + a.get("name") + " (" + a.get("api") + ")"
                + (a.get("why_not") == null ? "" : ", not taken: " + a.get("why_not")));
        }
    }

    private static void ops(Map<String, Object> ops, List<String> out) {
        for (Object each : list(ops.get("ops"))) {
            final Map<String, Object> op = map(each);
            final Object disabled = op.get("disabled");
            out.add("  " + op.get("name") + " " + op.get("version") + ": " + op.get("summary")
                + (disabled instanceof String ? " Switched off: " + disabled : ""));
        }
        list(ops.get("refused")).forEach(r -> out.add("  refused: " + map(r).get("file") + ", " + map(r).get("why")));
    }

    /** Models of a folder, a line each. */
    public static String models(Map<String, Object> manifest) {
        final List<String> out = new ArrayList<>();
        for (Object each : list(manifest.get("models"))) {
            final Map<String, Object> m = map(each);
            out.add(m.get("id") + " (" + m.get("kind") + "), " + m.get("licence") + ", " + m.get("provenance"));
        }
        return String.join("\n", out);
    }

    /** A list of ops, a line each. */
    public static String ops(Map<String, Object> ops) {
        final List<String> out = new ArrayList<>();
        ops(ops, out);
        return String.join("\n", out);
    }

    /** What an op's file says of itself, or the ops of a folder. */
    public static String op(Map<String, Object> told) {
        if (told.containsKey("ops")) {
            return ops(told);
        }
        final Map<String, Object> params = map(map(told.get("params")).get("properties"));
        return told.get("name") + " " + told.get("version") + ": " + told.get("summary") + "\nThe file is sound (" + told.get("file") + ", "
            + Json.integer(told.get("bytes")) / 1024 + " KB). Parameters: " + (params.isEmpty() ? "none" : String.join(", ", params.keySet()));
    }

    /** Whether anybody knows how much the flags of a tile miss. */
    static String calibrated(boolean is) {
        return is ? "The flags are calibrated." : "The flags are not calibrated: nobody knows how many faults they miss.";
    }

    /** Flags and origin of a tile, from its picture and from the file of its flags; that is empty where it does not lie beside it. */
    public static String tile(Map<String, Object> picture, Map<String, Object> flags) {
        final List<String> out = new ArrayList<>();
        final Map<String, Object> origin = map(picture.get("histoloom")), params = map(origin.get("parameters"));
        final boolean synthetic = Boolean.TRUE.equals(picture.get("synthetic"));
        out.add(synthetic ? "A synthetic tile, not real tissue." : "A picture that Histoloom wrote.");
        if (!flags.isEmpty()) {
            out.add(calibrated(Boolean.TRUE.equals(flags.get("calibrated"))));
            flagged(flags, out);
        } else if (synthetic) {
            out.add("The file of its flags does not lie beside it, so nothing is known of them.");
        }
        out.add("Made by " + (origin.get("software") == null ? picture.getOrDefault("Software", "Histoloom") : software(origin.get("software")))
            + (origin.get("device") instanceof String ? " on " + origin.get("device") : "") + ".");
        if (params.get("seed") != null) {
            out.add("Seed " + params.get("seed") + ", " + params.get("steps") + " steps, guidance " + params.get("guidance") + ".");
        }
        return String.join("\n", out);
    }

    /** A line a reason, with the number of places that have it. */
    private static void flagged(Map<String, Object> told, List<String> out) {
        final Map<String, Integer> places = new LinkedHashMap<>();
        list(told.get("flags")).forEach(f -> places.merge((String) map(f).get("reason"), map(f).get("cell") == null ? 0 : 1, Integer::sum));
        places.forEach((why, cells) -> out.add("Flagged: " + why + (cells == 0 ? "" : cells == 1 ? " (1 place)" : " (" + cells + " places)")));
        if (places.isEmpty()) {
            out.add("Not flagged, which is not verified.");
        }
    }

    private static String software(Object software) {
        return software instanceof Map ? map(software).get("name") + " " + map(software).get("version") : String.valueOf(software);
    }

    /** What a run made, or what a file of ours is. */
    public static String summary(Map<String, Object> summary) {
        final List<String> out = new ArrayList<>();
        final String kind = (String) summary.getOrDefault("kind", summary.get("format"));
        if (kind != null && KINDS.containsKey(kind)) {
            KINDS.get(kind).accept(summary, out);
        } else {
            out.add(kind == null ? "A file of Histoloom." : words(kind.replace("histoloom-", "")) + ".");
        }
        list(summary.get("notes")).forEach(n -> out.add(String.valueOf(n)));
        final List<Object> files = list(summary.get("files"));
        if (!files.isEmpty()) {
            final Path last = Path.of((String) files.get(files.size() - 1));
            out.add(files.size() == 1 ? "File: " + last : files.size() + " files in " + last.getParent());
        }
        return String.join("\n", out);
    }

    private static void map(Map<String, Object> summary, List<String> out) {
        classes(map(summary.get("map")), out);
    }

    private static void classes(Map<String, Object> map, List<String> out) {
        final List<Object> classes = list(map.get("classes"));
        out.add("A map of " + classes.size() + " classes:");
        for (Object each : classes) {
            final Map<String, Object> c = map(each);
            out.add("  " + c.get("name") + (c.get("share") == null ? "" : ", " + percent(c.get("share")) + " of the tissue"));
        }
        for (Object each : list(map.get("without_cells"))) {
            final Map<String, Object> c = map(each);
            out.add("  " + c.get("name") + ", no cells" + (c.get("reason") == null ? "" : ": " + c.get("reason")));
        }
    }

    private static void tiles(Map<String, Object> summary, List<String> out) {
        final List<Object> tiles = list(summary.get("tiles"));
        final Map<String, Integer> count = new LinkedHashMap<>();
        final Map<String, String> why = new LinkedHashMap<>();
        int flagged = 0;
        boolean calibrated = true;
        for (Object each : tiles) {
            final Map<String, Object> t = map(each);
            calibrated &= Boolean.TRUE.equals(t.get("calibrated"));
            flagged += list(t.get("flag_codes")).isEmpty() ? 0 : 1;
            for (Object c : list(t.get("flag_codes"))) {
                final String code = (String) c;
                count.merge(code, 1, Integer::sum);
                why.putIfAbsent(code, (String) map(t.get("flag_reasons")).getOrDefault(code, flag(code)));
            }
        }
        out.add(tiles.size() + (tiles.size() == 1 ? " synthetic tile, " : " synthetic tiles, ") + flagged
            + " of them flagged; the others are not flagged, which is not verified.");
        out.add(calibrated(calibrated));
        count.forEach((code, n) -> out.add("  " + n + " flagged: " + why.get(code)));
    }

    /** A code such as S2_MAP_DISAGREES in words, where its sentence was not kept. */
    private static String flag(String code) {
        return code.replaceFirst("^S\\d_", "").replace('_', ' ').toLowerCase(Locale.ROOT);
    }

    private static void dataSet(Map<String, Object> manifest, List<String> out) {
        final List<Object> tiles = new ArrayList<>(list(manifest.get("tiles"))), apart = list(manifest.get("flagged"));
        tiles.addAll(apart);
        tiles(Map.of("tiles", tiles), out);
        out.add("Flagged tiles that lie apart: " + apart.size() + ".");
    }

    private static void processed(Map<String, Object> summary, List<String> out) {
        final List<String> ops = new ArrayList<>();
        list(summary.get("ops")).forEach(o -> ops.add(String.valueOf(o instanceof Map ? map(o).get("name") : o)));
        out.add("The picture went through " + (ops.isEmpty() ? "no op" : String.join(", ", ops)) + ".");
        flagged(summary, out);
    }

    private static void planted(Map<String, Object> summary, List<String> out) {
        out.add("Scored tiles, for a calibration:");
        map(summary.get("tiles")).forEach((kind, n) -> out.add("  " + words(kind) + ": " + n));
    }

    private static void calibration(Map<String, Object> c, List<String> out) {
        final Map<String, Object> report = map(c.get("report"));
        out.add("A calibration of the flags from " + c.get("n") + " planted faults; aimed at: at most " + percent(c.get("alpha")) + " pass.");
        out.add("Found on slides that it does not come from:");
        for (Object each : list(report.get("kinds"))) {
            final Map<String, Object> k = map(each);
            out.add("  " + words((String) k.get("kind")) + ": " + k.get("missed") + " of " + k.get("tested")
                + " missed, at most " + percent(k.get("upper")));
        }
        final Map<String, String> others = new LinkedHashMap<>();
        others.put("real", "Real tiles");
        others.put("rendered", "The same through the autoencoder");
        others.put("ordinary", "Tiles with nothing planted");
        others.forEach((key, name) -> {
            final Map<String, Object> rate = map(report.get(key));
            if (!rate.isEmpty()) {
                out.add(name + ": " + rate.get("flagged") + " of " + rate.get("n") + " flagged");
            }
        });
        if (report.get("meaning") instanceof String) {
            out.add("What it means: " + report.get("meaning"));
        }
    }

    private static void indexed(Map<String, Object> index, List<String> out) {
        final Object pictures = index.get("pictures");
        out.add("An index of " + (pictures instanceof List ? list(pictures).size() : pictures) + " pictures, which tiles must not repeat.");
    }

    private static void imported(Map<String, Object> summary, List<String> out) {
        final Map<String, Object> made = map(summary.get("imported"));
        out.add("published".equals(made.get("kind"))
            ? "The published networks, for " + made.get("classes") + " classes, were imported. Use the preset paper with them."
            : "The encoder " + made.get("id") + " was imported.");
    }

    private static String percent(Object share) {
        return share == null ? "an unknown share" : String.format(Locale.ROOT, "%.1f %%", 100 * Json.number(share));
    }

    private static String words(String name) {
        final String spaced = name.replace('_', ' ').replace('-', ' ');
        return spaced.isEmpty() ? spaced : Character.toUpperCase(spaced.charAt(0)) + spaced.substring(1);
    }

    private static Map<String, Object> map(Object value) {
        return value instanceof Map ? Json.object(value) : Map.of();
    }

    private static List<Object> list(Object value) {
        return value instanceof List ? Json.list(value) : List.of();
    }
}
