package io.github.histoloom.qupath;

import io.github.histoloom.Session;
import io.github.histoloom.Settings;
import io.github.histoloom.Trouble;
import java.nio.file.Path;
import javafx.beans.property.BooleanProperty;
import javafx.beans.property.StringProperty;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import qupath.lib.gui.prefs.PathPrefs;

/** Settings that QuPath keeps, and the one session that all windows and scripts share. */
final class Preferences {
    static final StringProperty LIBRARY = PathPrefs.createPersistentPreference("histoloom.libraryDir", "");
    static final StringProperty MODELS = PathPrefs.createPersistentPreference("histoloom.modelsDir", "");
    static final StringProperty DEVICE = PathPrefs.createPersistentPreference("histoloom.device", "auto");
    /** QuPath's progress dialog keeps the viewer from being used. */
    static final BooleanProperty OWN_WINDOW = PathPrefs.createPersistentPreference("histoloom.ownProgressWindow", false);
    private static final Logger LOG = LoggerFactory.getLogger(Preferences.class);
    private static Session session;

    static {
        Runtime.getRuntime().addShutdownHook(new Thread(Preferences::reopen)); // its folder for crops and tiles goes
    }

    private Preferences() {}

    /** Environment variables come first, for machines without a display. */
    static Settings settings() {
        return new Settings(or("HISTOLOOM_LIBRARY_DIR", LIBRARY), or("HISTOLOOM_MODELS", MODELS), or("HISTOLOOM_DEVICE", DEVICE), work());
    }

    private static String or(String variable, StringProperty preference) {
        final String given = System.getenv(variable);
        return given == null ? preference.get() : given;
    }

    static Path work() {
        return Path.of(System.getProperty("user.home"), ".histoloom");
    }

    static synchronized Session session() throws Trouble {
        if (session == null) {
            session = new Session(settings(), LOG::info);
        }
        return session;
    }

    /** After a change of the settings. Maps made before can no longer be drawn. */
    static synchronized void reopen() {
        if (session != null) {
            session.close();
            session = null;
        }
    }
}
