package qupath.lib.plugins.workflow;

import java.util.ArrayList;
import java.util.List;

/** Signatures of qupath-core/src/main/java/qupath/lib/plugins/workflow/Workflow.java of QuPath 0.6.0 and 0.7.0. */
public class Workflow {
    private final List<WorkflowStep> steps = new ArrayList<>();

    public synchronized void addStep(final WorkflowStep step) {
        steps.add(step);
    }

    public List<WorkflowStep> getSteps() {
        return steps;
    }
}
