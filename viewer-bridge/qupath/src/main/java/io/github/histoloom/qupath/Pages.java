package io.github.histoloom.qupath;

import io.github.histoloom.Trouble;
import java.awt.image.BufferedImage;
import java.nio.file.Path;
import javafx.embed.swing.SwingFXUtils;
import javafx.scene.image.Image;
import javafx.stage.Modality;
import javafx.stage.Window;
import qupath.fx.dialogs.Dialogs;
import qupath.lib.gui.tools.GuiTools;

/** Texts, pictures and pages to look at. */
final class Pages {
    private Pages() {}

    static void text(Window owner, String title, String text) {
        Dialogs.showTextWindow(owner, title, text, Modality.NONE, false);
    }

    static Image picture(BufferedImage image) {
        return SwingFXUtils.toFXImage(image, null);
    }

    /** Opens the page of a run in the desktop's browser; null where there is none. */
    static void browse(Path page) throws Trouble {
        if (page == null) {
            throw Trouble.noReport();
        }
        if (!GuiTools.browseURI(page.toUri())) {
            throw Trouble.noBrowser(page);
        }
    }
}
