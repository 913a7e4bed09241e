package io.github.histoloom.qupath;

import io.github.histoloom.Form;
import io.github.histoloom.Trouble;
import java.io.File;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import javafx.event.ActionEvent;
import javafx.scene.Node;
import javafx.scene.control.Button;
import javafx.scene.control.ButtonType;
import javafx.scene.control.CheckBox;
import javafx.scene.control.ComboBox;
import javafx.scene.control.Dialog;
import javafx.scene.control.Label;
import javafx.scene.control.ScrollPane;
import javafx.scene.control.TextField;
import javafx.scene.control.TitledPane;
import javafx.scene.control.Tooltip;
import javafx.scene.layout.GridPane;
import javafx.scene.layout.HBox;
import javafx.scene.layout.VBox;
import javafx.stage.Window;
import qupath.fx.dialogs.FileChoosers;

/** A form as controls: those asked for first, the others folded away. */
final class FormDialog {
    private static final Set<String> FOLDERS = Set.of("out_dir", "from", "other", "ops_dir", "cache_dir", "encoder", "model");
    private static final Set<String> FILES = Set.of("atlas", "file", "calibration", "labels", "regions", "init", "mask", "tile", "add_to");

    private final Form form;
    private final Map<String, Supplier<String>> typed = new LinkedHashMap<>();
    private final Label wrong = new Label();

    private FormDialog(Form form) {
        this.form = form;
        wrong.setStyle("-fx-text-fill: #d55e00");
        wrong.setWrapText(true);
    }

    /** Whether the user wants to go on; the form then holds what was typed. above may be null; left out are fields that are filled otherwise. */
    static boolean show(Window owner, String title, Form form, Node above, Set<String> leftOut) {
        final FormDialog d = new FormDialog(form);
        final VBox content = new VBox(8);
        if (above != null) {
            content.getChildren().add(above);
        }
        content.getChildren().addAll(d.controls(leftOut), d.wrong);
        final Dialog<ButtonType> dialog = new Dialog<>();
        dialog.initOwner(owner);
        dialog.setTitle(title);
        dialog.setResizable(true);
        final ScrollPane scroll = new ScrollPane(content);
        scroll.setFitToWidth(true);
        scroll.setPrefSize(560, 480);
        dialog.getDialogPane().setContent(scroll);
        dialog.getDialogPane().setMinSize(560, 420); // on Linux a resizable dialog begins as small as it may be
        dialog.getDialogPane().getButtonTypes().addAll(ButtonType.OK, ButtonType.CANCEL);
        dialog.getDialogPane().lookupButton(ButtonType.OK).addEventFilter(ActionEvent.ACTION, e -> {
            if (!d.take()) {
                e.consume();
            }
        });
        return dialog.showAndWait().filter(b -> b == ButtonType.OK).isPresent();
    }

    /** The controls alone, for windows with more than a form; call the supplier to take over what was typed. */
    static Node embed(Form form, Set<String> leftOut, Map<String, Supplier<Boolean>> taker) {
        final FormDialog d = new FormDialog(form);
        taker.put(form.kind, d::take);
        return new VBox(8, d.controls(leftOut), d.wrong);
    }

    private boolean take() {
        for (Map.Entry<String, Supplier<String>> e : typed.entrySet()) {
            try {
                form.set(e.getKey(), e.getValue().get());
            } catch (Trouble t) {
                wrong.setText(t.getMessage());
                return false;
            }
        }
        wrong.setText("");
        return true;
    }

    private Node controls(Set<String> leftOut) {
        final GridPane first = grid(), more = grid();
        for (Form.Field f : form.fields()) {
            if (!leftOut.contains(f.name)) {
                final GridPane to = f.first ? first : more;
                final Label label = new Label(f.title);
                label.setTooltip(new Tooltip(f.description));
                to.addRow(to.getRowCount(), label, control(f));
            }
        }
        final TitledPane folded = new TitledPane("More", more);
        folded.setExpanded(false);
        return more.getChildren().isEmpty() ? first : new VBox(8, first, folded);
    }

    private static GridPane grid() {
        final GridPane out = new GridPane();
        out.setHgap(10);
        out.setVgap(6);
        return out;
    }

    private Node control(Form.Field f) {
        final Tooltip tip = new Tooltip(f.description + (f.range().isEmpty() ? "" : "; " + f.range()));
        if (f.type == Form.Type.BOOLEAN) {
            final CheckBox box = new CheckBox();
            box.setSelected(Boolean.TRUE.equals(f.value()));
            box.setTooltip(tip);
            typed.put(f.name, () -> Boolean.toString(box.isSelected()));
            return box;
        }
        if (f.type == Form.Type.CHOICE) {
            final ComboBox<String> box = new ComboBox<>();
            box.getItems().addAll(f.choices);
            box.setValue(f.text());
            box.setTooltip(tip);
            typed.put(f.name, box::getValue);
            return box;
        }
        final TextField text = new TextField(f.text());
        text.setPromptText(f.range());
        text.setTooltip(tip);
        typed.put(f.name, text::getText);
        return FOLDERS.contains(f.name) || FILES.contains(f.name) ? new HBox(4, text, chooser(f, text)) : text;
    }

    private static Button chooser(Form.Field f, TextField text) {
        final Button browse = new Button("...");
        browse.setOnAction(e -> {
            final File chosen = FOLDERS.contains(f.name) ? FileChoosers.promptForDirectory(f.title, null) : FileChoosers.promptForFile(f.title);
            if (chosen != null) {
                text.setText(chosen.getPath());
            }
        });
        return browse;
    }
}
