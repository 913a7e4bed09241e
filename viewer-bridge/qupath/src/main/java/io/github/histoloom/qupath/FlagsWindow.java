package io.github.histoloom.qupath;

import java.awt.image.BufferedImage;
import java.io.File;
import javafx.geometry.Insets;
import javafx.scene.Scene;
import javafx.scene.control.Button;
import javafx.scene.control.Label;
import javafx.scene.layout.VBox;
import qupath.fx.dialogs.FileChoosers;
import qupath.lib.images.ImageData;

/** What a tile's file says of its flags, and the jobs that calibrate them. */
final class FlagsWindow {
    private FlagsWindow() {}

    static void show(Commands commands, ImageData<BufferedImage> image) {
        final VBox box = new VBox(10, new Label("A tile without flags is not flagged, never verified."));
        add(box, "Flags and origin of a tile...", () -> {
            final File tile = FileChoosers.promptForFile("A tile (PNG) or a folder's manifest.json");
            if (tile != null) {
                commands.tell(tile.getName(), session -> session.told(tile.toPath()));
            }
        });
        add(box, "Plant faults in this slide, for a calibration...", () -> commands.job("Plant faults", "flags_plant", image));
        add(box, "Calibrate from planted faults...", () -> commands.job("Calibrate flags", "flags_calibrate", image));
        add(box, "Index of this slide, which tiles must not repeat...", () -> commands.job("Index a slide", "flags_index", image));
        box.setPadding(new Insets(12));
        LegendWindow.open(commands.window(), "Histoloom: flags", new Scene(box));
    }

    static void add(VBox box, String text, Commands.Command command) {
        final Button button = new Button(text);
        button.setMaxWidth(Double.MAX_VALUE);
        button.setOnAction(e -> Commands.orSay(command));
        box.getChildren().add(button);
    }
}
