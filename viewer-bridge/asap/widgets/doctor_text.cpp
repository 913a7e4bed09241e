#include "doctor_text.h"

#include <QCoreApplication>
#include <QJsonArray>
#include <QStringList>

namespace histoloom {

namespace {

QString tr(const char *text) { return QCoreApplication::translate("histoloom::doctor", text); }

// A text or a number.
QString html(const QJsonValue &value, const QString &otherwise = {}) {
    return value.isDouble() ? value.toVariant().toString() : value.toString(otherwise).toHtmlEscaped();
}

QString list(const QStringList &lines) { return "<ul><li>" + lines.join("</li><li>") + "</li></ul>"; }

QStringList strings(const QJsonValue &array) {
    QStringList out;
    for (const auto &value : array.toArray()) out << html(value);
    return out;
}

// Every device that is not used, with the reason.
QStringList refused_of(const QJsonObject &report) {
    QStringList out = strings(report["device"][QLatin1String("refused")]);
    for (const auto &adapter : report["devices"][QLatin1String("adapters")].toArray()) {
        const QString line = html(adapter[QLatin1String("name")]) + ": " + html(adapter[QLatin1String("why_not")], tr("not asked for"));
        if (!adapter[QLatin1String("chosen_by_auto")].toBool() && !out.contains(line)) out << line;
    }
    return out;
}

QString models_of(const QJsonObject &report, const QString &folder) {
    QStringList networks;
    for (const auto &w : report["weights"].toArray()) {
        const QString state = w[QLatin1String("ok")].toBool() ? tr("%1 loads") : tr("<b>%1 does not load</b>");
        networks << state.arg(html(w[QLatin1String("network")]));
    }
    const QString place = folder.isEmpty() ? tr("those that came with the library") : folder.toHtmlEscaped();
    return place + (networks.isEmpty() ? tr("; none could be tried") : ": " + networks.join(", "));
}

QString atlas_of(const QJsonObject &report, const QString &file) {
    const QJsonObject atlas = report["atlas"].toObject();
    const QString found = file.isEmpty() ? tr("none found") : file.toHtmlEscaped();
    if (atlas.isEmpty()) return found;
    if (!atlas["ok"].toBool()) return tr("%1 cannot be used").arg(found);
    const QString told = tr("%1 types of tissue (%2...)").arg(atlas["types"].toInt()).arg(html(atlas["sha256"]).left(8));
    return file.isEmpty() ? told : told + "<br>" + found;
}

QString calibration_of(const QJsonObject &report) {
    const QJsonValue calibration = report["flags"][QLatin1String("calibration")];
    const QString sum = html(calibration[QLatin1String("sha256")]), why = html(calibration[QLatin1String("missing")]);
    if (!sum.isEmpty()) return tr("there (%1...)").arg(sum.left(8));
    return tr("none, so every tile is flagged") + (why.isEmpty() ? QString() : ": " + why);
}

QString ops_of(const QJsonObject &report) {
    QStringList out;
    for (const auto &op : report["ops"][QLatin1String("ops")].toArray()) out << html(op[QLatin1String("name")]) + "&nbsp;" + html(op[QLatin1String("version")]);
    return out.isEmpty() ? tr("none") : out.join(", ");
}

}  // namespace

QString doctor_text(const QJsonObject &report, const QString &models, const QString &atlas_file) {
    const QJsonObject build = report["build"].toObject();
    QString out = "<table cellspacing=4>";
    const auto row = [&out](const QString &name, const QString &value) { out += "<tr><td><b>" + name + "</b></td><td>" + value + "</td></tr>"; };
    const QString file = html(report["library"][QLatin1String("path")], tr("its file is not known"));
    row(tr("Library"), tr("Histoloom %1, ABI %2<br>%3").arg(html(build["version"]), html(build["abi"]), file));
    row(tr("Device"), html(report["device"][QLatin1String("name")], tr("none")));
    if (const QStringList refused = refused_of(report); !refused.isEmpty()) row(tr("Not used"), refused.join("<br>"));
    row(tr("Models"), models_of(report, models));
    row(tr("Atlas"), atlas_of(report, atlas_file));
    row(tr("Calibration of the flags"), calibration_of(report));
    row(tr("Image operations"), ops_of(report));
    out += "</table>";
    const QStringList missing = strings(report["missing"]);
    return out + (missing.isEmpty() ? tr("<p>Nothing is missing.</p>") : tr("<p><b>Missing, and what to do:</b></p>") + list(missing));
}

}  // namespace histoloom
