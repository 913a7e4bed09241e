package qupath.lib.gui.extensions;

import qupath.lib.common.Version;
import qupath.lib.gui.QuPathGUI;

/** Signatures of qupath-gui-fx/src/main/java/qupath/lib/gui/extensions/QuPathExtension.java of QuPath 0.6.0 and 0.7.0. */
public interface QuPathExtension {
    void installExtension(QuPathGUI qupath);

    String getName();

    String getDescription();

    default Version getQuPathVersion() {
        return Version.UNKNOWN;
    }
}
