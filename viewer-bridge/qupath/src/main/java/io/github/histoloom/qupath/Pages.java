package io.github.histoloom.qupath;

import javafx.scene.image.Image;
import javafx.embed.swing.SwingFXUtils;
import java.awt.image.BufferedImage;
import javafx.stage.Modality;
import javafx.stage.Window;
import qupath.fx.dialogs.Dialogs;

/** Texts and pictures in windows. */
final class Pages {
    private Pages() {}

    static void text(Window owner, String title, String text) {
        Dialogs.showTextWindow(owner, title, text, Modality.NONE, false);
    }

    static Image picture(BufferedImage image) {
        return SwingFXUtils.toFXImage(image, null);
    }
}
