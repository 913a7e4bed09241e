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

/** The same as QuPath's progress dialog tells of a run, in a window that leaves the viewer usable meanwhile. */
final class ProgressWindow implements RunView {
    private final Stage stage = new Stage();
    private final Label line = new Label("starting");
    private final ProgressBar bar = new ProgressBar(ProgressBar.INDETERMINATE_PROGRESS);
    private final AtomicBoolean cancelled = new AtomicBoolean();

    /** On the thread of the windows. */
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

    @Override
    public void begin() {}

    private void cancel() {
        cancelled.set(true);
        line.setText("cancelling...");
    }

    @Override
    public boolean cancelled() {
        return cancelled.get();
    }

    @Override
    public void show(Progress p) {
        Platform.runLater(() -> {
            if (!cancelled.get()) {
                line.setText(p.line());
                bar.setProgress(p.fraction() < 0 ? ProgressBar.INDETERMINATE_PROGRESS : p.fraction());
            }
        });
    }

    @Override
    public void close() {
        Platform.runLater(stage::close);
    }
}
