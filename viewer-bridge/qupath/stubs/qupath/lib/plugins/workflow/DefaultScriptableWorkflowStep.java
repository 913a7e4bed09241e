package qupath.lib.plugins.workflow;

/** Signatures of qupath-core/src/main/java/qupath/lib/plugins/workflow/DefaultScriptableWorkflowStep.java of QuPath 0.6.0 and 0.7.0. */
public class DefaultScriptableWorkflowStep implements WorkflowStep {
    private final String name, script;

    public DefaultScriptableWorkflowStep(final String name, final String script) {
        this.name = name;
        this.script = script;
    }

    @Override
    public String getName() {
        return name;
    }

    public String getScript() {
        return script;
    }
}
