package qupath.lib.common;

/** Signatures of qupath-core/src/main/java/qupath/lib/common/Version.java of QuPath 0.6.0 and 0.7.0. */
public class Version {
    public static final Version UNKNOWN = new Version();

    public static Version parse(String versionString) throws IllegalArgumentException {
        return UNKNOWN;
    }
}
