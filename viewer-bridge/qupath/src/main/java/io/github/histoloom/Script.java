package io.github.histoloom;

/** The Groovy lines that repeat what was done in the dialogs; they work in the script editor, in a workflow and headless. */
public final class Script {
    private static final String CLASS = "io.github.histoloom.qupath.HistoloomScripts";

    private Script() {}

    public static String line(String kind, String params) {
        return unkept(kind, params) + CLASS + ".run('" + kind + "', " + quoted(params) + ")";
    }

    /** Tiles of a map that is not the newest: it is made again, by its parameters. */
    public static String tiles(String ofMap, String params) {
        return unkept("synth", params) + CLASS + ".tiles(" + quoted(ofMap) + ", " + quoted(params) + ")";
    }

    /** A window shows tiles that are in no folder of the user's, a script does not. */
    private static String unkept(String kind, String params) {
        final boolean gone = kind.equals("synth") && Json.object(params).get("out_dir") == null;
        return gone ? "// These tiles are kept nowhere: give a folder as \"out_dir\".\n" : "";
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
