package io.github.histoloom;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** JSON as maps, lists, strings, booleans, longs, doubles and null. A text that is not JSON is an IllegalArgumentException. */
public final class Json {
    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    public static Object parse(String text) {
        final Json json = new Json(text);
        final Object value = json.value();
        json.space();
        if (json.at < text.length()) {
            throw json.wrong("the end");
        }
        return value;
    }

    /** An object; an IllegalArgumentException for any other value. */
    public static Map<String, Object> object(String text) {
        return object(parse(text));
    }

    @SuppressWarnings("unchecked")
    public static Map<String, Object> object(Object value) {
        if (value instanceof Map) {
            return (Map<String, Object>) value;
        }
        throw new IllegalArgumentException("an object was expected, not " + write(value));
    }

    @SuppressWarnings("unchecked")
    public static List<Object> list(Object value) {
        if (value instanceof List) {
            return (List<Object>) value;
        }
        throw new IllegalArgumentException("a list was expected, not " + write(value));
    }

    public static double number(Object value) {
        if (value instanceof Number) {
            return ((Number) value).doubleValue();
        }
        throw new IllegalArgumentException("a number was expected, not " + write(value));
    }

    public static int integer(Object value) {
        return (int) number(value);
    }

    public static String write(Object value) {
        final StringBuilder out = new StringBuilder();
        write(value, out);
        return out.toString();
    }

    private static void write(Object value, StringBuilder out) {
        if (value instanceof CharSequence) {
            quote(value.toString(), out);
        } else if (value instanceof Map) {
            out.append('{');
            String comma = "";
            for (Map.Entry<?, ?> e : ((Map<?, ?>) value).entrySet()) {
                out.append(comma);
                quote(e.getKey().toString(), out);
                out.append(": ");
                write(e.getValue(), out);
                comma = ", ";
            }
            out.append('}');
        } else if (value instanceof List) {
            out.append('[');
            String comma = "";
            for (Object v : (List<?>) value) {
                out.append(comma);
                write(v, out);
                comma = ", ";
            }
            out.append(']');
        } else {
            out.append(value);
        }
    }

    private static void quote(String s, StringBuilder out) {
        out.append('"');
        for (char c : s.toCharArray()) {
            if (c == '"' || c == '\\') {
                out.append('\\').append(c);
            } else if (c < ' ') {
                out.append(String.format("\\u%04x", (int) c));
            } else {
                out.append(c);
            }
        }
        out.append('"');
    }

    private IllegalArgumentException wrong(String expected) {
        return new IllegalArgumentException("not JSON: " + expected + " was expected at character " + at);
    }

    private void space() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private boolean take(char c) {
        space();
        if (at < text.length() && text.charAt(at) == c) {
            at++;
            return true;
        }
        return false;
    }

    private void must(char c) {
        if (!take(c)) {
            throw wrong("`" + c + "`");
        }
    }

    private Object value() {
        space();
        if (take('{')) {
            return object();
        } else if (take('[')) {
            return list();
        } else if (at < text.length() && text.charAt(at) == '"') {
            return string();
        } else if (word("true")) {
            return true;
        } else if (word("false")) {
            return false;
        } else if (word("null")) {
            return null;
        }
        return number();
    }

    private boolean word(String word) {
        if (text.startsWith(word, at)) {
            at += word.length();
            return true;
        }
        return false;
    }

    private Map<String, Object> object() {
        final Map<String, Object> out = new LinkedHashMap<>();
        if (take('}')) {
            return out;
        }
        do {
            space();
            final String key = string();
            must(':');
            out.put(key, value());
        } while (take(','));
        must('}');
        return out;
    }

    private List<Object> list() {
        final List<Object> out = new ArrayList<>();
        if (take(']')) {
            return out;
        }
        do {
            out.add(value());
        } while (take(','));
        must(']');
        return out;
    }

    private Object number() {
        final int from = at;
        while (at < text.length() && "+-0123456789.eE".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
        final String s = text.substring(from, at);
        try {
            return s.matches("-?[0-9]{1,18}") ? (Object) Long.valueOf(s) : s.matches("[0-9]{19}") ? whole(s) : Double.valueOf(s);
        } catch (NumberFormatException e) {
            throw wrong("a value");
        }
    }

    /** Seeds go up to the largest long. */
    private static Object whole(String s) {
        try {
            return Long.valueOf(s);
        } catch (NumberFormatException e) {
            return Double.valueOf(s);
        }
    }

    private String string() {
        must('"');
        final StringBuilder out = new StringBuilder();
        for (;;) {
            if (at >= text.length()) {
                throw wrong("the end of a string");
            }
            final char c = text.charAt(at++);
            if (c == '"') {
                return out.toString();
            }
            out.append(c == '\\' ? escaped() : c);
        }
    }

    private char escaped() {
        final char c = at < text.length() ? text.charAt(at++) : 0;
        final int which = "\"\\/bfnrt".indexOf(c);
        if (which >= 0) {
            return "\"\\/\b\f\n\r\t".charAt(which);
        }
        if (c == 'u' && at + 4 <= text.length()) {
            at += 4;
            return (char) Integer.parseInt(text.substring(at - 4, at), 16);
        }
        throw wrong("an escape");
    }
}
