package qupath.lib.gui;

import javafx.animation.KeyFrame;
import javafx.animation.Timeline;
import javafx.application.Platform;
import javafx.scene.control.Button;
import javafx.scene.control.ButtonType;
import javafx.scene.control.Dialog;
import javafx.scene.control.Label;
import javafx.scene.control.ProgressBar;
import javafx.scene.layout.VBox;
import javafx.stage.Modality;
import javafx.util.Duration;
import qupath.lib.plugins.SimpleProgressMonitor;
import qupath.lib.regions.ImageRegion;

/**
 * Signatures of qupath-gui-fx/src/main/java/qupath/lib/gui/TaskRunnerFX.java of QuPath 0.6.0 and 0.7.0. The dialog does as upstream's: it is modal,
 * comes after half a second, as wide as its heading, tells message and per cent, and closes when the whole is reached.
 */
public class TaskRunnerFX {
    private final QuPathGUI qupath;

    public TaskRunnerFX(final QuPathGUI qupath) {
        this.qupath = qupath;
    }

    public SimpleProgressMonitor makeProgressMonitor() {
        if (Platform.isFxApplicationThread()) {
            throw new AssertionError("upstream gives this thread no dialog");
        }
        return new Monitor();
    }

    private final class Monitor implements SimpleProgressMonitor {
        private final Label label = new Label("Starting");
        private final ProgressBar bar = new ProgressBar();
        private final Timeline often = new Timeline(new KeyFrame(Duration.millis(500), e -> refresh()));
        private volatile String message = "";
        private volatile boolean cancelled;
        private Dialog<Void> dialog;
        private int progress, whole;

        @Override
        public void startMonitoring(final String title, final int maxProgress, final boolean mayCancel) {
            whole = maxProgress;
            Platform.runLater(() -> {
                final Button cancel = new Button("Cancel");
                cancel.setOnAction(e -> cancelled = true);
                cancel.setDisable(!mayCancel);
                dialog = new Dialog<>();
                dialog.initOwner(qupath.getStage());
                dialog.initModality(Modality.APPLICATION_MODAL);
                dialog.setTitle("Progress");
                dialog.setHeaderText(title);
                dialog.getDialogPane().getButtonTypes().add(ButtonType.CLOSE); // one without buttons cannot be closed
                dialog.getDialogPane().lookupButton(ButtonType.CLOSE).setVisible(false);
                dialog.getDialogPane().setContent(new VBox(label, bar, cancel));
                often.setCycleCount(Timeline.INDEFINITE);
                often.play();
            });
        }

        private synchronized void refresh() {
            if (progress >= whole) {
                pluginCompleted(null);
            } else if (!dialog.isShowing()) {
                dialog.show();
            }
            label.setText(message + " (" + Math.round(100.0 * progress / whole) + "%)");
            bar.setProgress((double) progress / whole);
        }

        @Override
        public synchronized void updateProgress(final int increment, final String said, final ImageRegion region) {
            progress += increment;
            message = said;
        }

        @Override
        public void pluginCompleted(final String said) {
            Platform.runLater(() -> {
                often.stop();
                dialog.close();
            });
        }

        @Override
        public boolean cancelled() {
            return cancelled;
        }
    }
}
