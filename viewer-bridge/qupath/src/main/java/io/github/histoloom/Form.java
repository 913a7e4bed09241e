package io.github.histoloom;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Collectors;

/** The parameters of a job kind as a form: what a dialog shows, checks and hands over as JSON. From the schema the library gives. */
public final class Form {
    /** PATHS and NAMES are lists of texts, a line each; what is OTHER nobody can type, and dialogs leave it out. */
    public enum Type { BOOLEAN, INTEGER, NUMBER, CHOICE, TEXT, PATHS, NAMES, OTHER }

    private static final Map<String, Type> LISTS = Map.of("ops", Type.NAMES, "calibrate", Type.PATHS, "test", Type.PATHS);

    /** Shown at once, in this order; the rest is folded away. */
    private static final Map<String, List<String>> FIRST = Map.of(
        "cluster", List.of("atlas", "k", "seed", "mpp", "min_region_um2", "artefacts"),
        "synth", List.of("n", "size_px", "seed", "steps", "guidance", "keep_flagged", "out_dir"),
        "eval", List.of("from", "n", "out_dir"),
        "flags_plant", List.of("from", "n", "out_dir", "seed"),
        "flags_index", List.of("file", "add_to"),
        "flags_calibrate", List.of("calibrate", "test", "alpha", "out_dir"),
        "op", List.of("tile", "ops", "out_dir"));

    /** One parameter; text is what the user typed. */
    public static final class Field {
        public final String name, title, description;
        public final Type type;
        public final boolean nullable, first;
        public final double minimum, maximum;
        public final List<String> choices;
        public final Object defaultValue;
        private Object value;

        Field(String name, Map<String, Object> schema, boolean first) {
            this.name = name;
            this.first = first;
            title = (String) schema.getOrDefault("title", name);
            description = (String) schema.getOrDefault("description", "");
            final Object type = schema.get("type");
            final List<Object> types = type instanceof List ? Json.list(type) : List.of(type);
            nullable = types.contains("null");
            choices = new ArrayList<>();
            for (Object choice : schema.containsKey("enum") ? Json.list(schema.get("enum")) : List.of()) {
                choices.add((String) choice);
            }
            this.type = LISTS.getOrDefault(name, !choices.isEmpty() ? Type.CHOICE : typed((String) types.get(0)));
            minimum = schema.containsKey("minimum") ? Json.number(schema.get("minimum")) : Double.NEGATIVE_INFINITY;
            maximum = schema.containsKey("maximum") ? Json.number(schema.get("maximum")) : Double.POSITIVE_INFINITY;
            defaultValue = schema.get("default");
            value = defaultValue;
        }

        private static Type typed(String type) {
            switch (type) {
                case "boolean":
                    return Type.BOOLEAN;
                case "integer":
                    return Type.INTEGER;
                case "number":
                    return Type.NUMBER;
                case "string":
                    return Type.TEXT;
                default:
                    return Type.OTHER;
            }
        }

        public Object value() {
            return value;
        }

        /** As a text field shows it; empty for null. */
        public String text() {
            if (type == Type.PATHS || type == Type.NAMES) {
                return String.join("\n", lines());
            }
            return value == null ? "" : value instanceof String ? (String) value : Json.write(value);
        }

        /** Of a list. */
        public List<String> lines() {
            final List<String> out = new ArrayList<>();
            Json.list(value).forEach(each -> out.add((String) each));
            return out;
        }

        /** For instance "0 to 100"; empty where anything goes. */
        public String range() {
            return minimum == Double.NEGATIVE_INFINITY ? "" : plain(minimum) + " to " + plain(maximum);
        }

        private static String plain(double v) {
            return v == Math.rint(v) && Math.abs(v) <= Long.MAX_VALUE ? Long.toString((long) v) : Double.toString(v);
        }

        /** Takes what was typed, or says what is wrong with it and keeps what it had. */
        public void set(String typed) throws Trouble {
            final String s = typed.strip();
            if (s.isEmpty() && nullable) {
                value = null;
                return;
            }
            switch (type) {
                case BOOLEAN:
                    require(s.equals("true") || s.equals("false"), "true or false", s);
                    value = Boolean.valueOf(s);
                    break;
                case CHOICE:
                    require(choices.contains(s), "one of " + String.join(", ", choices), s);
                    value = s;
                    break;
                case TEXT:
                    value = s;
                    break;
                case PATHS:
                case NAMES:
                    value = s.isEmpty() ? List.of() : s.lines().map(String::strip).filter(l -> !l.isEmpty()).collect(Collectors.toList());
                    break;
                case OTHER:
                    throw new IllegalArgumentException(name + " is not typed, but put");
                default:
                    number(s);
            }
        }

        private void number(String s) throws Trouble {
            final String range = range().isEmpty() ? "" : " from " + range();
            final String expected = (type == Type.INTEGER ? "a whole number" : "a number such as 0.5, with a point,") + range;
            final Object v = parsed(s, expected);
            require(v instanceof Number && (type == Type.NUMBER || v instanceof Long), expected, s);
            require(Json.number(v) >= minimum && Json.number(v) <= maximum, expected, s);
            value = type == Type.NUMBER ? (Object) Json.number(v) : v;
        }

        private Object parsed(String s, String expected) throws Trouble {
            try {
                return Json.parse(s);
            } catch (IllegalArgumentException e) {
                require(false, expected, s);
                return null;
            }
        }

        private void require(boolean holds, String expected, String s) throws Trouble {
            if (!holds) {
                throw Trouble.parameter(title + ": " + expected + " is expected, not \"" + s + "\".");
            }
        }
    }

    public final String kind;
    private final Map<String, Field> fields = new LinkedHashMap<>();

    public Form(String kind, String schema) {
        this.kind = kind;
        final Map<String, Object> schemas = Json.object(Json.object(schema).get("properties"));
        final Set<String> order = new LinkedHashSet<>(FIRST.getOrDefault(kind, List.of()));
        order.retainAll(schemas.keySet());
        final boolean all = order.isEmpty();
        final Set<String> first = Set.copyOf(order);
        order.addAll(schemas.keySet());
        for (String name : order) {
            fields.put(name, new Field(name, Json.object(schemas.get(name)), all || first.contains(name)));
        }
    }

    public List<Field> fields() {
        return List.copyOf(fields.values());
    }

    public Field field(String name) {
        final Field field = fields.get(name);
        if (field == null) {
            throw new IllegalArgumentException("a " + kind + " job has no parameter " + name);
        }
        return field;
    }

    public void set(String name, String typed) throws Trouble {
        field(name).set(typed);
    }

    /** For what the viewer knows and nobody types, such as regions. */
    public void put(String name, Object value) {
        field(name).value = value;
    }

    /** What differs from the defaults. */
    public Map<String, Object> values() {
        final Map<String, Object> out = new LinkedHashMap<>();
        for (Field f : fields.values()) {
            if (!Objects.equals(f.value, f.defaultValue)) {
                out.put(f.name, f.value);
            }
        }
        return out;
    }

    public String json() {
        return Json.write(values());
    }
}
