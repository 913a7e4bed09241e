package io.github.histoloom;

import java.awt.image.BufferedImage;
import java.util.List;
import java.util.Map;

/** What users read and see of what the library tells: sentences, and frames around what is flagged. Called by {@link LogicTest}. */
final class ReportTest {
    private ReportTest() {}

    static void doctor(Session session) throws Trouble {
        plain(Report.doctor(session.doctor(), session.modelsDir()), "denoiser: ready", "calibration: ready", "gamut");
        plain(Report.ops(session.ops()), "sharpness");
        plain(Report.models(session.inspect(session.modelsDir())), "Apache-2.0");
        plain(Report.summary(session.inspect(session.modelsDir() + "/he_calibration.json")), "480 planted faults", "Class swap: 3 of 40 missed");
        plain(Report.summary(session.inspect(session.modelsDir() + "/he_training_index.bin")), "An index of");
        final String sick = "{'ok': false, 'build': {'version': '1.2', 'abi': '1.3', 'os': 'linux', 'arch': 'x86_64'}, 'library': {'path': '/lib/it.so'}, "
            + "'device': {'name': 'Xeon', 'kind': 'cpu', 'refused': ['gpu:0 has too little memory']}, 'devices': {'cpu': {'threads': 2}, 'adapters': "
            + "[{'device': 'gpu:0', 'name': 'llvmpipe', 'api': 'Vulkan', 'why_not': 'runs on the processor'}]}, 'weights': [{'network': 'codec', 'ok': false}, "
            + "{'network': 'encoder', 'ok': true}], 'atlas': {'ok': true, 'sha256': '00', 'types': 16}, 'flags': {'calibration': {'missing': 'of other networks'}}, "
            + "'ops': {'ops': [{'name': 'gamut', 'version': '1.0', 'summary': 'Clips.', 'disabled': null}]}, 'missing': ['codec: damaged; install again']}";
        final Map<String, Object> told = Json.object(sick.replace('\'', '"'));
        plain(Report.doctor(told, "/models"), "Missing, and what to do", "codec: damaged; install again", "Histoloom 1.2, ABI 1.3", "/lib/it.so",
            "Xeon (cpu)", "refused: gpu:0 has too little memory", "gpu:0: llvmpipe (Vulkan), not taken: runs on the processor", "Models: /models",
            "codec: missing or damaged", "encoder: ready", "ready, with 16 types of tissue", "calibration: of other networks", "gamut 1.0: Clips.");
        told.put("library", null);
        told.put("atlas", null);
        plain(Report.doctor(told, null), "where it lies is not known", "Atlas: none", "beside the library");
    }

    /** Flags of a run: sentences, or the code in words where an older version kept none. */
    static void tiles() {
        final String told = "{'kind': 'synth', 'tiles': [{'flag_codes': ['S1_OFF', 'S2_ODD'], 'flag_reasons': {'S1_OFF': 'Unlike it.'}, 'calibrated': true}, "
            + "{'flag_codes': ['S1_OFF'], 'flag_reasons': {'S1_OFF': 'Unlike that.'}, 'calibrated': true}]}";
        plain(Report.summary(Json.object(told.replace('\'', '"'))), "2 synthetic tiles, 2 of them", "2 flagged: Unlike it.", "1 flagged: odd");
    }

    /** A class that was annotated in vain is told with the reason. */
    static void classes() {
        final String told = "{'kind': 'cluster', 'map': {'classes': [{'name': 'Fat', 'share': 1.0}], "
            + "'without_cells': [{'name': 'Nerve', 'reason': 'too small'}, {'name': 'Duct', 'reason': null}]}}";
        plain(Report.summary(Json.object(told.replace('\'', '"'))), "A map of 1 classes", "Fat, 100.0 %", "Nerve, no cells: too small", "Duct, no cells");
    }

    /** What a user reads: it says these things, and nothing as programs write it. */
    static void plain(String text, String... says) {
        for (String s : says) {
            LogicTest.must(text.contains(s), "\"" + s + "\" is not in: " + text);
        }
        LogicTest.must(!text.matches("(?s).*([{}\\[\\]\"]|null|: true|: false).*"), "not for people: " + text);
    }

    /** Frames of flags that were planted: solid around a cell, dashed around the tile; the reasons are sentences. */
    static void frames() {
        final BufferedImage white = new BufferedImage(128, 128, BufferedImage.TYPE_INT_RGB);
        white.setRGB(0, 0, 128, 128, Glass.filled(128 * 128, 0xFFFFFF), 0, 128);
        final String cell = "{\"code\": \"S1\", \"reason\": \"Unlike.\", \"cell\": [1, 2]}";
        final String whole = "{\"code\": \"U\", \"reason\": \"Who knows?\", \"cell\": null}";
        final Tile one = new Tile(white, "{\"index\": 3, \"calibrated\": true, \"flags\": [" + cell + ", " + cell + "]}");
        LogicTest.must(orange(one, 65, 48) && orange(one, 80, 33) && !orange(one, 80, 48) && !orange(one, 2, 64), "a frame around the cell alone");
        LogicTest.must(!one.accepted && List.copyOf(one.reasons()).equals(List.of("The flags are calibrated.", "Unlike.")), "a reason once: " + one.reasons());
        final Tile all = new Tile(white, "{\"index\": 3, \"calibrated\": false, \"flags\": [" + whole + "]}");
        int along = 0;
        for (int y = 4; y < 124; y++) {
            along += orange(all, 2, y) ? 1 : 0;
        }
        LogicTest.must(along > 40 && along < 80 && !orange(all, 65, 48), "a dashed frame around the tile: " + along);
        LogicTest.must(all.reasons().toString().contains("not calibrated"), "who reads it knows: " + all.reasons());
        final Tile none = new Tile(white, "{\"index\": 3, \"calibrated\": true, \"flags\": []}");
        LogicTest.must(none.accepted && !orange(none, 2, 4) && none.reasons().toString().contains("not verified"), "nothing found: " + none.reasons());
    }

    private static boolean orange(Tile tile, int x, int y) {
        return (tile.drawn().getRGB(x, y) & 0xFFFFFF) == 0xD55E00;
    }
}
