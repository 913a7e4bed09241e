package qupath.lib.objects.classes;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** Signatures of qupath-core/src/main/java/qupath/lib/objects/classes/PathClass.java of QuPath 0.6.0 and 0.7.0. */
public class PathClass {
    private static final Map<String, PathClass> KNOWN = new ConcurrentHashMap<>();
    private final String name;
    private final Integer color;

    private PathClass(String name, Integer color) {
        this.name = name;
        this.color = color;
    }

    public static PathClass fromString(String string, Integer color) {
        return KNOWN.computeIfAbsent(string, s -> new PathClass(s, color));
    }

    public Integer getColor() {
        return color;
    }

    @Override
    public String toString() {
        return name;
    }
}
