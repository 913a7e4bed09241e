package io.github.histoloom;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** What the library tells as JSON, as lines for people. */
public final class Report {
    private Report() {}

    /** Versions, device, devices refused and why, models, ops, and what is missing with its remedy. */
    public static String doctor(Map<String, Object> doctor, String modelsDir) {
        final List<String> out = new ArrayList<>();
        final List<Object> missing = Json.list(doctor.getOrDefault("missing", List.of()));
        out.add(missing.isEmpty() ? "Everything is there." : "Missing: " + missing.size());
        missing.forEach(m -> out.add("  " + plain(m)));
        final Map<String, Object> build = Json.object(doctor.get("build"));
        out.add("Library: histoloom " + build.get("version") + ", ABI " + build.get("abi") + ", " + build.get("os") + " " + build.get("arch"));
        out.add("Models: " + (modelsDir == null ? "those beside the library" : modelsDir));
        for (String part : List.of("device", "devices", "weights", "flags")) {
            if (doctor.get(part) != null) {
                out.add("");
                out.add(Character.toUpperCase(part.charAt(0)) + part.substring(1) + ":");
                lines(doctor.get(part), "  ", out);
            }
        }
        out.add("");
        out.add("Ops:");
        ops(doctor.get("ops"), out);
        return String.join("\n", out);
    }

    private static void ops(Object of, List<String> out) {
        final Object ops = of instanceof Map ? Json.object(of).get("ops") : null;
        if (!(ops instanceof List)) {
            lines(of, "  ", out);
            return;
        }
        for (Object each : Json.list(ops)) {
            final Map<String, Object> op = Json.object(each);
            out.add("  " + op.get("name") + " " + op.get("version") + ": " + op.get("summary"));
        }
    }

    /** Models of a folder or ops of a list, a line each. */
    public static String models(Map<String, Object> manifest) {
        final List<String> out = new ArrayList<>();
        for (Object each : Json.list(manifest.get("models"))) {
            final Map<String, Object> m = Json.object(each);
            out.add(m.get("id") + " (" + m.get("kind") + "), " + m.get("licence") + ", " + m.get("provenance"));
        }
        return String.join("\n", out);
    }

    /** The ops that ship, a line each. */
    public static String ops(Map<String, Object> ops) {
        final List<String> out = new ArrayList<>();
        ops(ops, out);
        return String.join("\n", out);
    }

    /** Any summary. */
    public static String summary(Map<String, Object> summary) {
        final List<String> out = new ArrayList<>();
        lines(summary, "", out);
        return String.join("\n", out);
    }

    private static void lines(Object value, String indent, List<String> out) {
        if (value instanceof Map) {
            for (Map.Entry<String, Object> e : Json.object(value).entrySet()) {
                nested(e.getKey() + ":", e.getValue(), indent, out);
            }
        } else if (value instanceof List) {
            Json.list(value).forEach(v -> nested("-", v, indent, out));
        } else {
            out.add(indent + plain(value));
        }
    }

    private static void nested(String name, Object value, String indent, List<String> out) {
        final boolean brief = !(value instanceof Map || value instanceof List) || Json.write(value).length() < 100;
        if (brief) {
            out.add(indent + name + " " + plain(value));
        } else {
            out.add(indent + name);
            lines(value, indent + "  ", out);
        }
    }

    private static String plain(Object value) {
        return value == null ? "none" : value instanceof String ? (String) value : Json.write(value);
    }
}
