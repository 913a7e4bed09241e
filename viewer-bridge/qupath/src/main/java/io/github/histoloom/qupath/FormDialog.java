package io.github.histoloom.qupath;

import io.github.histoloom.Form;
import io.github.histoloom.Trouble;
import java.io.File;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javafx.event.ActionEvent;
import javafx.geometry.Insets;
import javafx.scene.Node;
import javafx.scene.control.Button;
import javafx.scene.control.ButtonType;
import javafx.scene.control.CheckBox;
import javafx.scene.control.ComboBox;
import javafx.scene.control.Control;
import javafx.scene.control.Dialog;
import javafx.scene.control.Label;
import javafx.scene.control.ListView;
import javafx.scene.control.ScrollPane;
import javafx.scene.control.TextField;
import javafx.scene.control.TitledPane;
import javafx.scene.control.Tooltip;
import javafx.scene.layout.FlowPane;
import javafx.scene.layout.GridPane;
import javafx.scene.layout.HBox;
import javafx.scene.layout.Priority;
import javafx.scene.layout.VBox;
import javafx.stage.Window;
import qupath.fx.dialogs.FileChoosers;

/** A form as controls: those asked for first, the others folded away. */
final class FormDialog {
    private static final Set<String> FOLDERS = Set.of("out_dir", "from", "other", "ops_dir", "cache_dir", "encoder", "model");
    private static final Set<String> FILES = Set.of("atlas", "file", "calibration", "labels", "regions", "init", "mask", "tile", "add_to");

    private static final int LIST_WIDTH = 260, LIST_HEIGHT = 80;

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
        content.setPadding(new Insets(8));
        if (above != null) {
            content.getChildren().add(above);
        }
        content.getChildren().add(d.controls(leftOut));
        final Dialog<ButtonType> dialog = new Dialog<>();
        dialog.initOwner(owner);
        dialog.setTitle(title);
        dialog.setResizable(true);
        final ScrollPane scroll = new ScrollPane(content);
        scroll.setFitToWidth(true);
        scroll.setPrefSize(560, 480);
        dialog.getDialogPane().setContent(new VBox(8, scroll, d.wrong)); // what is wrong is seen wherever the form is scrolled to
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
            if (!leftOut.contains(f.name) && f.type != Form.Type.OTHER) {
                final GridPane to = f.first ? first : more;
                final Label label = new Label(f.title);
                label.setTooltip(new Tooltip(f.description));
                final Node control = control(f);
                label.setLabelFor(control);
                GridPane.setHgrow(control, Priority.ALWAYS);
                to.addRow(to.getRowCount(), label, control);
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
        switch (f.type) {
            case BOOLEAN:
                final CheckBox tick = named(new CheckBox(), f);
                tick.setSelected(Boolean.TRUE.equals(f.value()));
                typed.put(f.name, () -> Boolean.toString(tick.isSelected()));
                return tick;
            case CHOICE:
                final ComboBox<String> box = named(new ComboBox<>(), f);
                box.getItems().addAll(f.choices);
                box.setValue(f.text());
                typed.put(f.name, box::getValue);
                return box;
            case PATHS:
                return paths(f);
            case NAMES:
                return names(f);
            default:
                final TextField text = named(new TextField(f.text()), f);
                text.setPromptText(f.range());
                typed.put(f.name, text::getText);
                HBox.setHgrow(text, Priority.ALWAYS); // paths are long
                return FOLDERS.contains(f.name) || FILES.contains(f.name) ? new HBox(4, text, chooser(f, text)) : text;
        }
    }

    /** With what the parameter means as its tooltip. */
    private static <T extends Control> T named(T control, Form.Field f) {
        control.setId(f.name);
        control.setTooltip(new Tooltip(f.description + (f.range().isEmpty() ? "" : "; " + f.range())));
        return control;
    }

    /** Folders, chosen one by one. */
    private Node paths(Form.Field f) {
        final ListView<String> list = named(new ListView<>(), f);
        list.getItems().addAll(f.lines());
        list.setPrefSize(LIST_WIDTH, LIST_HEIGHT);
        typed.put(f.name, () -> String.join("\n", list.getItems()));
        final Button add = new Button("Add..."), remove = new Button("Remove");
        add.setOnAction(e -> {
            final File chosen = FileChoosers.promptForDirectory(f.title, null);
            if (chosen != null && !list.getItems().contains(chosen.getPath())) {
                list.getItems().add(chosen.getPath());
            }
        });
        remove.setOnAction(e -> list.getItems().remove(list.getSelectionModel().getSelectedItem()));
        return new HBox(4, list, new VBox(4, add, remove));
    }

    /** Those that are offered to tick, and a line for others; they are used in this order. */
    private Node names(Form.Field f) {
        final FlowPane offered = new FlowPane(8, 4);
        offered.setPrefWrapLength(LIST_WIDTH);
        for (String name : f.choices) {
            final CheckBox box = new CheckBox(name);
            box.setSelected(f.lines().contains(name));
            offered.getChildren().add(box);
        }
        final TextField others = new TextField(f.lines().stream().filter(n -> !f.choices.contains(n)).collect(Collectors.joining(", ")));
        others.setPromptText("ops of your own, by name, with commas");
        typed.put(f.name, () -> Stream.concat(offered.getChildren().stream().map(CheckBox.class::cast).filter(CheckBox::isSelected).map(CheckBox::getText),
            Stream.of(others.getText().split(","))).collect(Collectors.joining("\n")));
        return new VBox(4, offered, others);
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
