package io.github.histoloom.qupath;

import io.github.histoloom.Progress;
import qupath.lib.gui.QuPathGUI;
import qupath.lib.gui.TaskRunnerFX;
import qupath.lib.plugins.SimpleProgressMonitor;

/**
 * QuPath's own progress dialog, as its commands have it: what the run does, with rate and time left, a bar, and Cancel. The dialog belongs to the
 * task runner, which itself counts whole tasks and cancels them by interruption; a run is one task and is cancelled through the library, so its
 * parts are counted here, in thousandths of the step that goes on.
 */
final class TaskView implements RunView {
    /** The dialog closes when it is reached. */
    private static final int WHOLE = 1000;

    /** Also makes the dialog, which is as wide as its heading, wide enough for what is told. */
    private static final String SAID = "\nThe time left is that of the step that goes on, not of the whole run.";

    private final QuPathGUI qupath;
    private final String title;
    private SimpleProgressMonitor monitor;
    private int counted;

    TaskView(QuPathGUI qupath, String title) {
        this.qupath = qupath;
        this.title = title;
    }

    /** QuPath gives no dialog to the thread of the windows. */
    @Override
    public synchronized void begin() {
        monitor = new TaskRunnerFX(qupath).makeProgressMonitor();
        monitor.startMonitoring(title + SAID, WHOLE, true);
    }

    @Override
    public synchronized void show(Progress p) {
        final int now = (int) (Math.max(0, Math.min(p.fraction(), 1)) * (WHOLE - 1));
        monitor.updateProgress(now - counted, p.brief(), null);
        counted = now;
    }

    @Override
    public synchronized boolean cancelled() {
        return monitor.cancelled();
    }

    @Override
    public synchronized void close() {
        if (monitor != null) {
            monitor.pluginCompleted("");
        }
    }
}
