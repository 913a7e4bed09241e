package io.github.histoloom;

/** The Groovy lines that repeat what was done in the dialogs; they work in the script editor, in a workflow and headless. */
public final class Script {
    private static final String CLASS = "io.github.histoloom.qupath.HistoloomScripts";

    private Script() {}

    public static String line(String kind, String params) {
        return CLASS + ".run('" + kind + "', " + quoted(params) + ")";
    }

    /** Tiles of the classes that are annotated when it runs. */
    public static String generate(String params) {
        return CLASS + ".generate(" + quoted(params) + ")";
    }

    private static String quoted(String text) {
        return "'''" + text.replace("\\", "\\\\").replace("'", "\\'") + "'''";
    }

    /** Adds the newest map as annotations or as detections. */
    public static String objects(boolean detections) {
        return CLASS + (detections ? ".detect()" : ".annotate()");
    }
}
