package io.github.histoloom;

import java.nio.file.Path;

/** Why something cannot be done, for the user: what, which, what to try. */
public final class Trouble extends Exception {
    private static final long serialVersionUID = 1L;

    public enum Kind { NO_SLIDE, NOT_RGB, NO_TISSUE, NO_LIBRARY, NO_MODEL, NO_ANNOTATION, NO_MAP, PARAMETER, CANCELLED, OTHER }

    public final Kind kind;

    private Trouble(Kind kind, String message, Throwable cause) {
        super(message, cause);
        this.kind = kind;
    }

    public static Trouble noSlide() {
        return new Trouble(Kind.NO_SLIDE, "No slide is open. Open one in the viewer, or in a script run it for an image of a project, then try again.", null);
    }

    public static Trouble notRgb(String slide) {
        return new Trouble(Kind.NOT_RGB, "\"" + slide + "\" is not an RGB image. Histoloom is made for haematoxylin and eosin in bright field; "
            + "open such a slide.", null);
    }

    public static Trouble noAnnotation(String slide) {
        return new Trouble(Kind.NO_ANNOTATION, "No annotation with an area is selected on \"" + slide + "\". Draw or select one "
            + "(rectangle, polygon, brush), or choose the whole slide.", null);
    }

    public static Trouble noClass(String slide) {
        return new Trouble(Kind.NO_ANNOTATION, "No annotation with an area and a class is on \"" + slide + "\". Draw regions and give them classes "
            + "(Annotations tab, Set selected), then try again.", null);
    }

    public static Trouble noMap(String slide) {
        return new Trouble(Kind.NO_MAP, "There is no map of \"" + slide + "\" yet, and tiles are made from one. Run Extensions > Histoloom > "
            + "Cluster slide... first, or give the folder of a map.", null);
    }

    public static Trouble noLibrary(String where, Throwable cause) {
        return new Trouble(Kind.NO_LIBRARY, "The Histoloom library was not found " + where + ". Set its directory in Extensions > Histoloom > "
            + "Manage models and ops..., or install the extension's jar made for this system.", cause);
    }

    public static Trouble noModel(String where, Throwable cause) {
        return new Trouble(Kind.NO_MODEL, "The models are missing or damaged: " + where + ". Choose the folder with manifest.json in Extensions > "
            + "Histoloom > Manage models and ops..., or install Histoloom again.", cause);
    }

    public static Trouble noReport() {
        return new Trouble(Kind.OTHER, "There is no report. It is made with a map or with tiles, and lies in their folder as long as that is there; "
            + "run again to have one.", null);
    }

    public static Trouble noBrowser(Path page) {
        return new Trouble(Kind.OTHER, "No browser could be opened. The report is " + page + "; open it by hand.", null);
    }

    public static Trouble parameter(String message) {
        return new Trouble(Kind.PARAMETER, message, null);
    }

    public static Trouble file(String message, Throwable cause) {
        return new Trouble(Kind.OTHER, message + ": " + cause.getMessage() + ". Check the folder and its free space, then try again.", cause);
    }

    /** What the library failed with, said with the slide that is meant; slide may be null. */
    public static Trouble of(Histoloom.Failure e, String slide) {
        final String said = e.getMessage().substring(e.getMessage().indexOf(' ') + 1), which = slide == null ? "" : "\"" + slide + "\": ";
        final boolean noTissue = said.contains("no tissue");
        switch (e.code) {
            case -4:
                return new Trouble(Kind.OTHER, which + "The settings were applied anew meanwhile, which ends runs and forgets maps. Run Extensions > "
                    + "Histoloom > Cluster slide... again.", e);
            case -10:
                return new Trouble(Kind.CANCELLED, "Cancelled. Nothing was changed; run it again when you like.", e);
            case -13:
            case -6:
                return noTissue ? new Trouble(Kind.NO_TISSUE, which + said + ". If there is tissue, choose a region that shows it.", e)
                    : new Trouble(Kind.PARAMETER, which + said, e);
            case -15:
                return noModel(said, e);
            default:
                return new Trouble(Kind.OTHER, which + said + (e.getCause() == null ? "" : " (" + e.getCause().getMessage() + ")"), e);
        }
    }
}
