package qupath.lib.gui.prefs;

import javafx.beans.property.BooleanProperty;
import javafx.beans.property.SimpleBooleanProperty;
import javafx.beans.property.SimpleStringProperty;
import javafx.beans.property.StringProperty;

/** Signatures of qupath-gui-fx/src/main/java/qupath/lib/gui/prefs/PathPrefs.java of QuPath 0.6.0 and 0.7.0. */
public class PathPrefs {
    public static StringProperty createPersistentPreference(final String name, final String defaultValue) {
        return new SimpleStringProperty(null, name, defaultValue);
    }

    public static BooleanProperty createPersistentPreference(final String name, final boolean defaultValue) {
        return new SimpleBooleanProperty(null, name, defaultValue);
    }
}
