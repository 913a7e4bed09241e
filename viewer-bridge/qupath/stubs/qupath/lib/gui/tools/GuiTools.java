package qupath.lib.gui.tools;

import java.net.URI;
import java.util.ArrayList;
import java.util.List;

/** Signatures of qupath-gui-fx/src/main/java/qupath/lib/gui/tools/GuiTools.java of QuPath 0.6.0. */
public class GuiTools {
    /** Not upstream's: for tests; what was opened, and whether there is a browser. */
    public static final List<URI> OPENED = new ArrayList<>();
    public static boolean browser = true;

    public static boolean browseURI(final URI uri) {
        return browser && OPENED.add(uri);
    }
}
