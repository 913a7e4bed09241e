package io.github.histoloom;

/** The Groovy lines that repeat what was done in the dialogs; they work in the script editor, in a workflow and headless. */
public final class Script {
    private static final String CLASS = "io.github.histoloom.qupath.HistoloomScripts";

    private Script() {}

    public static String line(String kind, String params) {
        return CLASS + ".run('" + kind + "', '''" + params.replace("\\", "\\\\").replace("'", "\\'") + "''')";
    }

    /** Adds the annotations of the newest map. */
    public static String annotate() {
        return CLASS + ".annotate()";
    }
}
