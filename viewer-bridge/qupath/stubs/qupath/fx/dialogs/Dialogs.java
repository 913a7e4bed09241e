package qupath.fx.dialogs;

import java.util.concurrent.BlockingDeque;
import java.util.concurrent.LinkedBlockingDeque;
import javafx.stage.Modality;
import javafx.stage.Window;

/** Signatures of src/main/java/qupath/fx/dialogs/Dialogs.java of qupath-fxtras 0.2.0 (QuPath 0.6.0) and 0.3.0 (QuPath 0.7.0). */
public class Dialogs {
    /** Not upstream's: for tests; what was said, the newest last. */
    public static final BlockingDeque<String> SAID = new LinkedBlockingDeque<>();

    private static void say(String text) {
        SAID.add(text);
        System.err.println(text);
    }

    public static void showErrorMessage(final String title, final Throwable e) {
        showErrorMessage(title, e.toString());
    }

    public static void showErrorMessage(final String title, String message) {
        say(title + ": " + message);
    }

    public static void showInfoNotification(final String title, final String message) {
        say(title + ": " + message);
    }

    public static void showTextWindow(final Window owner, final String title, final String contents, final Modality modality, final boolean isEditable) {
        say(title + ":\n" + contents);
    }
}
