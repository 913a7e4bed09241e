// A dialog for some parameters of a job, built from the library's JSON schema: names, ranges, defaults and a sentence each.
#pragma once

#include <QDialog>
#include <QJsonObject>
#include <QMap>
#include <QStringList>

class QFormLayout;

namespace histoloom {

class ParamsDialog : public QDialog {
    Q_OBJECT

public:
    ParamsDialog(const QString &title, const QJsonObject &schema, const QStringList &names, QWidget *parent);
    // What was asked for; what was left open is not in it.
    QJsonObject parameters() const;

private:
    void add(QFormLayout *form, const QString &name, const QJsonObject &property);

    QMap<QString, QWidget *> fields_;
};

}  // namespace histoloom
