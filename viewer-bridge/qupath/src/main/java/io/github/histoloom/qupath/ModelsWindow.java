package io.github.histoloom.qupath;

import io.github.histoloom.Report;
import java.io.File;
import javafx.beans.property.StringProperty;
import javafx.geometry.Insets;
import javafx.scene.Scene;
import javafx.scene.control.Button;
import javafx.scene.control.CheckBox;
import javafx.scene.control.Label;
import javafx.scene.control.TextField;
import javafx.scene.layout.GridPane;
import javafx.scene.layout.VBox;
import qupath.fx.dialogs.FileChoosers;

/** Where the library and the models are, which device to use, and jobs on models and ops. */
final class ModelsWindow {
    private final Commands commands;
    private final GridPane settings = new GridPane();

    ModelsWindow(Commands commands) {
        this.commands = commands;
        settings.setHgap(8);
        settings.setVgap(6);
    }

    void show() {
        final TextField library = row("Library directory", Preferences.LIBRARY, true), models = row("Models directory", Preferences.MODELS, true);
        final TextField device = row("Device (auto, cpu, gpu or gpu:N)", Preferences.DEVICE, false);
        final Button apply = new Button("Apply");
        apply.setOnAction(e -> Commands.orSay(() -> {
            Preferences.LIBRARY.set(library.getText());
            Preferences.MODELS.set(models.getText());
            Preferences.DEVICE.set(device.getText());
            commands.reopen();
        }));
        final CheckBox ownWindow = new CheckBox("Use the viewer while a run goes on (its progress is in a window of its own)");
        ownWindow.selectedProperty().bindBidirectional(Preferences.OWN_WINDOW);
        final VBox box = new VBox(10, new Label("Empty directories: the library and models in the extension. Applying forgets the maps made so far."),
            settings, apply, ownWindow);
        FlagsWindow.add(box, "List models", () -> commands.tell("models", session -> {
            final String dir = session.modelsDir();
            return dir == null ? Report.doctor(session.doctor(), null) : Report.models(session.inspect(dir));
        }));
        FlagsWindow.add(box, "List ops", () -> commands.tell("ops", session -> Report.ops(session.ops())));
        FlagsWindow.add(box, "Check an op...", () -> check(FileChoosers.promptForFile("An op (.wasm)")));
        FlagsWindow.add(box, "Check a folder of ops...", () -> check(FileChoosers.promptForDirectory("A folder of ops", null)));
        FlagsWindow.add(box, "Run ops on a picture...", () -> commands.job("Run ops", "op", null));
        FlagsWindow.add(box, "Import a model or encoder...", () -> commands.job("Import a model", "import", null));
        box.setPadding(new Insets(12));
        LegendWindow.open(commands.window(), "Histoloom: models and ops", new Scene(box));
    }

    private void check(File op) {
        if (op != null) {
            commands.tell(op.getName(), session -> Report.op(session.checkOp(op.getPath())));
        }
    }

    private TextField row(String title, StringProperty preference, boolean folder) {
        final TextField text = new TextField(preference.get());
        text.setPrefColumnCount(32);
        final Button browse = new Button("...");
        browse.setVisible(folder);
        browse.setOnAction(e -> {
            final File chosen = FileChoosers.promptForDirectory(title, null);
            if (chosen != null) {
                text.setText(chosen.getPath());
            }
        });
        settings.addRow(settings.getRowCount(), new Label(title), text, browse);
        return text;
    }
}
