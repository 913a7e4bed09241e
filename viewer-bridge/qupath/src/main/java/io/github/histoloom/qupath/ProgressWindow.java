package io.github.histoloom.qupath;

import io.github.histoloom.Progress;
import java.util.concurrent.atomic.AtomicBoolean;
import javafx.application.Platform;
import javafx.geometry.Insets;
import javafx.scene.Scene;
import javafx.scene.control.Button;
import javafx.scene.control.Label;
import javafx.scene.control.ProgressBar;
import javafx.scene.layout.VBox;
import javafx.stage.Stage;
import javafx.stage.Window;

/**
 * Stage, items, rate and time left of a run, and a button that cancels it. QuPath's own TaskRunner counts whole tasks, knows no time left and
 * blocks the viewer, on which the partial map appears meanwhile; so this is a window of its own that does not.
 */
final class ProgressWindow {
    private final Stage stage = new Stage();
    private final Label line = new Label("starting");
    private final ProgressBar bar = new ProgressBar(ProgressBar.INDETERMINATE_PROGRESS);
    private final AtomicBoolean cancelled = new AtomicBoolean();

    ProgressWindow(Window owner, String title) {
        final Button cancel = new Button("Cancel");
        cancel.setOnAction(e -> cancel());
        bar.setPrefWidth(380);
        final VBox box = new VBox(10, line, bar, cancel);
        box.setPadding(new Insets(12));
        stage.initOwner(owner);
        stage.setTitle(title);
        stage.setScene(new Scene(box));
        stage.setOnCloseRequest(e -> {
            e.consume();
            cancel();
        });
        stage.show();
    }

    private void cancel() {
        cancelled.set(true);
        line.setText("cancelling...");
    }

    boolean cancelled() {
        return cancelled.get();
    }

    /** From any thread. */
    void show(Progress p) {
        Platform.runLater(() -> {
            if (!cancelled.get()) {
                line.setText(p.line());
                bar.setProgress(p.fraction() < 0 ? ProgressBar.INDETERMINATE_PROGRESS : p.fraction());
            }
        });
    }

    void close() {
        stage.close();
    }
}
