package qupath.fx.dialogs;

import java.io.File;
import javafx.stage.FileChooser;

/** Signatures of src/main/java/qupath/fx/dialogs/FileChoosers.java of qupath-fxtras 0.2.0 (QuPath 0.6.0) and 0.3.0 (QuPath 0.7.0). */
public class FileChoosers {
    /** Not upstream's: for tests; what is chosen next. */
    public static File next;

    public static File promptForDirectory(String title, File initialDir) {
        return next;
    }

    public static File promptForFile(String title, FileChooser.ExtensionFilter... extensionFilters) {
        return next;
    }
}
